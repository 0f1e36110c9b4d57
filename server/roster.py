"""Which sites take part: found, asked for their data cards, and checked against the experiment.

A site may leave and come back, under the same node or another. One that was left out is asked again, with
growing pauses: its hospital may have mended what was wrong.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from flwr.app import MessageType, RecordDict

from hqgnet.errors import ConfigurationError, Problem, QuorumError
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.participation import is_of_use, lacks
from hqgnet.exchange.update import (
    EXPLANATIONS,
    MalformedMessageError,
    QueryReply,
    QueryRequest,
    SiteError,
    digest,
    read_message,
)
from server.context import RunContext
from server.guards import Fault, RefusedReplyError, distrusted
from server.link import Inquiry, Reply, ask, persist
from server.wire import read_header, read_refusal, write_request

_PAUSE_S = 0.1
_CARD_DEADLINE_S = 600.0
# A newcomer that is slower joins in a later round: the others do not wait for it.
_NEWCOMER_S = 10.0
_FINISH_DEADLINE_S = 120.0
_FIRST_BACK_OFF_S = 15.0
_LONGEST_BACK_OFF_S = 300.0
_LONGEST_REASON = 500
Registered = Callable[[int], str | None]
"""Tells which site's key a node has, None for no active site's; or raises ConfigurationError."""


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


@dataclass
class _LeftOut:
    problem: Problem
    back_off_s: float
    again_at: float


class Roster:
    """The sites of one run, in the order of their names.

    Args:
        context: The run; its experiment is what sites must fit.
        exactly: In a simulation: how many sites there are. All must join; a site that cannot is an error.
        registered: By which a site's name is held against its key; None where sites have no keys.
    """

    def __init__(
        self, context: RunContext, exactly: int | None = None, registered: Registered | None = None
    ) -> None:
        self._context = context
        self._federation = context.experiment.federation
        self._exactly = exactly
        self._registered = registered
        self._sites: dict[str, Site] = {}
        self._left_out: dict[int, _LeftOut] = {}
        self._inquiries: list[Inquiry] = []

    def gather(self) -> list[Site]:
        """Wait until the expected sites are there, or after a time until enough are.

        Raises:
            QuorumError: If too few are there in time.
            ConfigurationError: If sites of a simulation do not fit the experiment.
        """
        minimum = self._federation.minimum_sites
        wanted = self._exactly or self._federation.expected_sites or minimum
        if wanted < minimum:
            what = f"{minimum} sites are wanted, {wanted} given"
            remedy = "Give more sites, or lower it"
            raise ConfigurationError(Problem("federation.minimum_sites", what, remedy))
        begun = time.monotonic()
        self._context.progress.say("waiting", sites=wanted)
        while len(online := self.online(patience_s=0.0)) < wanted or self._inquiries:
            if self._exactly and self._left_out:
                raise ConfigurationError(left_out.problem for left_out in self._left_out.values())
            if time.monotonic() - begun > self._federation.wait_for_sites_s:
                break
            time.sleep(_PAUSE_S)
        if len(online) >= (self._exactly or minimum):
            return online
        what = f"{len(online)} of {wanted} sites joined in {self._federation.wait_for_sites_s:.0f} s"
        problem = Problem("federation", what, "Start the missing sites, or lower federation.minimum_sites")
        raise QuorumError([problem, *(left_out.problem for left_out in self._left_out.values())])

    def wait(self, takes_part: Callable[[Site], bool]) -> list[Site]:
        """Return the sites for a round: wait until enough are online, but not for ever.

        Args:
            takes_part: Whether a site has a part in the round.
        """
        until = time.monotonic() + self._federation.wait_for_sites_s
        while True:
            sites = [site for site in self.online() if takes_part(site)]
            if len(sites) >= self._federation.minimum_sites or time.monotonic() > until:
                return sites
            time.sleep(_PAUSE_S)

    def online(self, patience_s: float = _NEWCOMER_S) -> list[Site]:
        """Return the sites that are connected now, by name; newcomers show their data cards first.

        Args:
            patience_s: How long to wait for newcomers' cards.

        Raises:
            RunFailedError: If the SuperLink does not answer for as long as sites are waited for.
        """
        until = time.monotonic() + self._federation.wait_for_sites_s
        nodes = set(persist(lambda: list(self._context.grid.get_node_ids()), until))
        self._invite(nodes)
        self._listen(nodes)
        while any(time.monotonic() < inquiry.begun + patience_s for inquiry in self._inquiries):
            time.sleep(_PAUSE_S)
            self._listen(nodes)
        return [site for _, site in sorted(self._sites.items()) if site.node_id in nodes]

    def absent(self, present: list[Site]) -> list[str]:
        """Return the names of the sites that have joined before and are not among those ``present``."""
        return sorted(self._sites.keys() - {site.name for site in present})

    def ask_again(self, name: str) -> None:
        """Ask a site for its data card anew: what it sends is no longer what it declared."""
        self._sites.pop(name, None)

    def finish(self) -> None:
        """Let the sites delete their private training state; who does not answer keeps it."""
        content = self._request("finish")
        requests = {site.node_id: content for site in self.online(patience_s=0.0)}
        for _ in ask(self._context.grid, requests, MessageType.QUERY, "finish", _FINISH_DEADLINE_S):
            pass

    def _invite(self, nodes: set[int]) -> None:
        now = time.monotonic()
        for node_id, left_out in self._left_out.items():
            if node_id not in nodes:
                left_out.again_at = now  # it has been restarted when it comes back
        joined = {site.node_id for site in self._sites.values()}
        asked = {node_id for inquiry in self._inquiries for node_id in inquiry.nodes}
        resting = {
            node_id
            for node_id, left_out in self._left_out.items()
            if left_out.again_at > now or self._exactly
        }
        newcomers = sorted(nodes - joined - asked - resting)
        if newcomers:
            requests = dict.fromkeys(newcomers, self._request("data-card"))
            self._inquiries.append(
                Inquiry(self._context.grid, requests, MessageType.QUERY, "data-card", _CARD_DEADLINE_S)
            )

    def _listen(self, nodes: set[int]) -> None:
        for inquiry in self._inquiries:
            for reply in inquiry.arrived():
                try:
                    with distrusted():
                        card = _card(reply)
                    self._join(Site(reply.node_id, card), nodes, reply.audit_head)
                except _Declined as declined:
                    self._leave_out(reply.node_id, f"declined ({declined.code})", EXPLANATIONS[declined.code])
                except (RefusedReplyError, ConfigurationError) as error:
                    what = f"did not introduce itself ({_brief(error)})"
                    self._leave_out(reply.node_id, what, "Look at the site's own log")
        self._inquiries = [inquiry for inquiry in self._inquiries if inquiry.nodes]

    def _join(self, site: Site, nodes: set[int], audit_head: dict[str, str]) -> None:
        card, experiment = site.card, self._context.experiment
        misnamed = self._misnamed(site)
        if misnamed is not None:
            self._leave_out(site.node_id, *misnamed)
            return
        if (card.modality, card.channels) != (experiment.modality, experiment.channels):
            what = f"{card.name} has {card.modality} images of {card.channels} channels"
            remedy = f"The experiment is for {experiment.modality} of {experiment.channels}"
            self._leave_out(site.node_id, what, remedy)
            return
        if not is_of_use(card, experiment):
            what = f"{card.name} can neither train nor judge models here: {lacks(card, experiment)}"
            self._leave_out(site.node_id, what, "Give it what it lacks, or set federation.cue_bank to on")
            return
        namesake = self._sites.get(site.name)
        if namesake is not None and namesake.node_id in nodes:
            self._leave_out(
                site.node_id, f"another site is called {site.name} too", "Give each site its own name"
            )
            return
        self._left_out.pop(site.node_id, None)
        self._sites[site.name] = site
        self._context.progress.say(
            "site",
            name=site.name,
            lq=card.lq.train,
            hq=card.hq.train,
            masks=card.has_masks,
            grades=card.has_grades,
        )
        lacking = lacks(card, experiment)
        if lacking:
            self._context.progress.say("part", name=site.name, text=lacking)
        facts = {"site": site.name, "node": str(site.node_id), "card": digest(card.to_json())}
        self._context.audit.append("site-joined", **facts, **audit_head)

    def _misnamed(self, site: Site) -> tuple[str, str] | None:
        """Return why a site may not go by its name, and what to do; None if it may."""
        if self._registered is None:
            return None
        try:
            name = self._registered(site.node_id)
        except ConfigurationError as error:
            return f"its name cannot be held against its key ({error})", "Mend that: it is asked again"
        if name == site.name:
            return None
        whose = "of no active site" if name is None else f"that of {name}"
        remedy = "Give it a key" if name is None else f"Write name: {name} in its site file"
        return f"it calls itself {site.name}, but its key is {whose}", remedy

    def _leave_out(self, node_id: int, what: str, remedy: str) -> None:
        before = self._left_out.get(node_id)
        back_off = min(2 * before.back_off_s, _LONGEST_BACK_OFF_S) if before else _FIRST_BACK_OFF_S
        problem = Problem(f"site at node {node_id}", what, f"{remedy[0].upper()}{remedy[1:]}")
        self._left_out[node_id] = _LeftOut(problem, back_off, time.monotonic() + back_off)
        if before is None or before.problem != problem:
            self._context.progress.say("left-out", node=str(node_id), reason=what)
            self._context.audit.append("site-left-out", node=str(node_id), reason=what)

    def _request(self, kind: Literal["data-card", "finish"]) -> RecordDict:
        experiment = self._context.experiment.to_json()
        return write_request(QueryRequest(run=self._context.run, kind=kind, experiment=experiment).to_json())


def _card(reply: Reply) -> DataCard:
    if reply.content is None:
        raise RefusedReplyError(reply.fault or Fault.MALFORMED)
    refusal = read_refusal(reply.content)
    if refusal is not None:
        raise _Declined(refusal)
    try:
        text = read_message(read_header(reply.content), QueryReply).card
    except MalformedMessageError as error:
        raise RefusedReplyError(str(error)) from error
    if text is None:
        raise RefusedReplyError("the reply has no data card")
    return DataCard.from_json(text, "a site's data card")


def _brief(error: Exception) -> str:
    """Return what a site's card has brought about, on one line, however much there is of it."""
    return textwrap.shorten(str(error), _LONGEST_REASON, placeholder=" ...")


class _Declined(RefusedReplyError):
    def __init__(self, code: SiteError) -> None:
        super().__init__(code)
        self.code: SiteError = code
