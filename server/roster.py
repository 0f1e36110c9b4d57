"""Which sites take part: found, asked for their data cards, and checked against the experiment."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flwr.app import MessageType, RecordDict
from flwr.serverapp import Grid

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, Problem, QuorumError
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import (
    EXPLANATIONS,
    MalformedMessageError,
    QueryReply,
    QueryRequest,
    SiteError,
    read_message,
)
from server.guards import Fault
from server.link import ask
from server.progress import Progress
from server.wire import read_header, read_refusal, write_request

_PAUSE_S = 0.1
_CARD_DEADLINE_S = 600.0


@dataclass(frozen=True)
class Site:
    """A site that has joined.

    Attributes:
        node_id: Flower's, for this connection.
        card: What the site declared of its data; its name is in it.
    """

    node_id: int
    card: DataCard

    @property
    def name(self) -> str:
        """The site's name."""
        return self.card.name


class Roster:
    """The sites of one run, in the order of their names.

    Args:
        grid: Flower's.
        experiment: What sites must fit.
        run: The run's identifier.
        progress: Told who joins and who is left out.
        exactly: In a simulation: how many sites there are. All must join; a site that cannot is an error.
    """

    def __init__(
        self, grid: Grid, experiment: Experiment, run: str, progress: Progress, exactly: int | None = None
    ) -> None:
        self._grid = grid
        self._experiment = experiment
        self._run = run
        self._progress = progress
        self._exactly = exactly
        self._sites: dict[str, Site] = {}
        self._left_out: dict[int, Problem] = {}

    def gather(self) -> list[Site]:
        """Wait until enough sites are there.

        Raises:
            QuorumError: If they are not there in time.
            ConfigurationError: If sites of a simulation do not fit the experiment.
        """
        federation = self._experiment.federation
        wanted = self._exactly or federation.minimum_sites
        if wanted < federation.minimum_sites:
            what = f"{federation.minimum_sites} sites are wanted, {wanted} given"
            remedy = "Give more sites, or lower it"
            raise ConfigurationError(Problem("federation.minimum_sites", what, remedy))
        begun = time.monotonic()
        self._progress.say("waiting", sites=wanted)
        while len(online := self.online()) < wanted:
            if self._exactly and self._left_out:
                raise ConfigurationError(self._left_out.values())
            if time.monotonic() - begun > federation.wait_for_sites_s:
                what = f"{len(online)} of {wanted} sites joined in {federation.wait_for_sites_s:.0f} s"
                problem = Problem(
                    "federation", what, "Start the missing sites, or lower federation.minimum_sites"
                )
                raise QuorumError([problem, *self._left_out.values()])
            time.sleep(_PAUSE_S)
        return online

    def online(self) -> list[Site]:
        """Return the sites that are connected now, by name; newcomers show their data cards first."""
        nodes = set(self._grid.get_node_ids())
        known = {site.node_id for site in self._sites.values()} | self._left_out.keys()
        newcomers = nodes - known
        if newcomers:
            self._welcome(newcomers, nodes)
        return [site for _, site in sorted(self._sites.items()) if site.node_id in nodes]

    def finish(self) -> None:
        """Let the sites delete their private training state; who does not answer keeps it."""
        request = QueryRequest(run=self._run, kind="finish", experiment=self._experiment.to_json())
        content = write_request(request.to_json())
        for _ in ask(
            self._grid,
            {site.node_id: content for site in self.online()},
            MessageType.QUERY,
            "finish",
            _CARD_DEADLINE_S,
        ):
            pass

    def _welcome(self, newcomers: set[int], nodes: set[int]) -> None:
        request = QueryRequest(run=self._run, kind="data-card", experiment=self._experiment.to_json())
        content = write_request(request.to_json())
        requests = dict.fromkeys(sorted(newcomers), content)
        for reply in ask(self._grid, requests, MessageType.QUERY, "data-card", _CARD_DEADLINE_S):
            try:
                if reply.content is None:
                    raise MalformedMessageError(reply.fault or Fault.MALFORMED)
                refusal = read_refusal(reply.content)
                if refusal is not None:
                    raise _Declined(refusal)
                card = _card(reply.content)
                self._join(Site(reply.node_id, card), nodes)
            except _Declined as declined:
                self._leave_out(reply.node_id, f"declined ({declined.code})", EXPLANATIONS[declined.code])
            except (MalformedMessageError, ConfigurationError) as error:
                self._leave_out(
                    reply.node_id, f"did not introduce itself ({error})", "Look at the site's own log"
                )

    def _join(self, site: Site, nodes: set[int]) -> None:
        card, experiment = site.card, self._experiment
        if (card.modality, card.channels) != (experiment.modality, experiment.channels):
            what = f"{card.name} has {card.modality} images of {card.channels} channels"
            remedy = f"The experiment is for {experiment.modality} of {experiment.channels}"
            self._leave_out(site.node_id, what, remedy)
            return
        namesake = self._sites.get(site.name)
        if namesake is not None and namesake.node_id in nodes:
            self._leave_out(
                site.node_id, f"another site is called {site.name} too", "Give each site its own name"
            )
            return
        self._sites[site.name] = site
        self._progress.say("site", name=site.name, lq=card.lq.train, hq=card.hq.train, masks=card.has_masks)

    def _leave_out(self, node_id: int, what: str, remedy: str) -> None:
        self._left_out[node_id] = Problem(f"site at node {node_id}", what, f"{remedy[0].upper()}{remedy[1:]}")
        self._progress.say("left-out", node=str(node_id), reason=what)


def _card(content: RecordDict) -> DataCard:
    text = read_message(read_header(content), QueryReply).card
    if text is None:
        raise MalformedMessageError("the reply has no data card")
    return DataCard.from_json(text, "a site's data card")


class _Declined(Exception):
    def __init__(self, code: SiteError) -> None:
        super().__init__(code)
        self.code = code
