"""One attempt at a round: ask, check, spool, leave outliers out, combine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import MessageType, RecordDict

from hqgnet.config import PhaseName
from hqgnet.cue_bank import CueBank
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.groups import shared_groups
from hqgnet.exchange.update import SiteError, TrainRequest, UpdateHeader
from hqgnet.labels import has_labels
from server.broadcast import Broadcast
from server.context import RunContext
from server.frozen import FrozenParameters
from server.global_model import GlobalModel
from server.guards import Expected, Fault, NormGuard, RefusedReplyError, check_update, distrusted, moved
from server.link import Reply, ask
from server.roster import Site
from server.spool import Spool
from server.wire import read_update, size_of, write_arrays, write_request

# A site stops training early enough that its reply can still travel before the round's deadline.
_TRAINING_SHARE = 0.8


@dataclass(frozen=True)
class Update:
    """A site's update that has passed every check, without its arrays.

    Attributes:
        header: As the site sent it.
        weight: Beside the others'.
        size: Bytes.
        distance: From the parameters that were sent; see :func:`server.guards.moved`.
        digest: Of the arrays.
        audit_head: The head of the site's own audit log, as a fact for ours.
    """

    header: UpdateHeader
    weight: int
    size: int
    distance: float
    digest: str
    audit_head: dict[str, str]


@dataclass
class Outcome:
    """What came of one attempt at a round.

    Attributes:
        taken: Updates that count, by site.
        failed: Why a site's update does not.
        combined: What the strategy made of the updates.
        bytes_down: Sent, to all sites together.
        bytes_up: Received and taken.
        seconds: It took.
    """

    taken: dict[str, Update] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    combined: Arrays = field(default_factory=dict)
    bytes_down: int = 0
    bytes_up: int = 0
    seconds: float = 0.0

    def losses(self) -> dict[str, float]:
        """Mean of each loss over the sites that report it, weighted as their updates are."""
        sums: dict[str, float] = {}
        totals: dict[str, int] = {}
        for _, update in sorted(self.taken.items()):
            for name, value in update.header.losses.items():
                sums[name] = sums.get(name, 0.0) + value * update.weight
                totals[name] = totals.get(name, 0) + update.weight
        return {name: total / totals[name] for name, total in sums.items()}

    def rows(self) -> dict[str, dict[str, Any]]:
        """What ``rounds.jsonl`` tells of each site."""
        return {
            name: {
                "weight": update.weight,
                "steps": update.header.steps,
                "seconds": round(update.header.seconds, 3),
                "distance": update.distance,
                "losses": update.header.losses,
            }
            for name, update in sorted(self.taken.items())
        }


class Attempt:
    """One attempt at a round.

    Args:
        context: The run.
        model: What the sites train on.
        norms: Finds outliers.
        frozen: What nobody trains in the phase, for sites with labels and for those without.
        phase: Which phase.
        number: Of the round in it, from 1.
        global_round: Of the round over all phases.
        attempt: From 0.
        counted: By site, the step with which its latest update of the phase that counted ended.
        bank: Cues for the sites without HQ images; None where there are none.
    """

    def __init__(
        self,
        context: RunContext,
        model: GlobalModel,
        norms: NormGuard,
        frozen: Mapping[bool, FrozenParameters],
        phase: PhaseName,
        number: int,
        *,
        global_round: int,
        attempt: int,
        counted: Mapping[str, int],
        bank: CueBank | None = None,
    ) -> None:
        self._context = context
        self._experiment = context.experiment
        self._federation = context.experiment.federation
        self._model = model
        self._norms = norms
        self._frozen = frozen
        self._counted = counted
        self._bank = bank
        self._broadcast = Broadcast(model.outgoing(phase), self._federation.compression)
        self._sent = self._broadcast.sent
        steps = context.experiment.phase(phase).steps
        self._request = TrainRequest(
            run=context.run,
            phase=phase,
            round=number,
            global_round=global_round,
            attempt=attempt,
            first_step=(number - 1) * steps,
            steps=steps,
            deadline_s=self._federation.round_deadline_s * _TRAINING_SHARE,
            experiment=context.experiment.to_json(),
        )
        self._place = {"phase": phase, "round": number, "attempt": attempt}

    def run(self, sites: Sequence[Site]) -> Outcome:
        """Let the sites train, and combine what they send.

        Raises:
            OutputError: If an update or the audit log cannot be written.
        """
        begun = time.monotonic()
        outcome = Outcome()
        by_node = {site.node_id: site for site in sites}
        requests, group = self._requests(sites), "-".join(str(part) for part in self._place.values())
        outcome.bytes_down = sum(size_of(content) for content in requests.values())
        received: dict[str, Update] = {}
        whole = self._model.expected(self._request.phase, has_labels=True)
        room = sum(form.nbytes for form in whole.values())
        with Spool(self._context.directory.spool, (site.name for site in sites), room) as spool:
            deadline = self._federation.round_deadline_s
            for reply in ask(self._context.grid, requests, MessageType.TRAIN, group, deadline):
                site = by_node[reply.node_id]
                try:
                    received[site.name] = self._receive(site, reply, spool)
                    self._frozen_of(site).arrived(site.name)
                except RefusedReplyError as error:
                    if error.code == SiteError.FROZEN:
                        self._frozen_of(site).lost(site.name)
                    self._refuse(outcome, site.name, error.code, reply.audit_head)
            self._fold(outcome, received, spool)
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _requests(self, sites: Sequence[Site]) -> dict[int, RecordDict]:
        """Return each node's request: what its site runs, and cues and frozen arrays that it lacks."""
        cues = None
        if self._bank is not None and self._request.phase != "pretrain":
            cues = write_arrays(self._bank.to_arrays())
        kinds: dict[bool, list[Site]] = {}
        for site in sites:
            kinds.setdefault(self._has_labels(site), []).append(site)
        requests: dict[int, RecordDict] = {}
        for labelled, alike in kinds.items():
            record = self._broadcast.record_of(self._model.outgoing(self._request.phase, labelled))
            frozen = self._frozen[labelled].records(site.name for site in alike)
            for site in alike:
                counted = self._counted.get(site.name, 0)
                own = self._request.model_copy(
                    update={"counted_step": counted, "frozen": self._frozen[labelled].digest}
                )
                lent = None if site.card.has_hq else cues
                requests[site.node_id] = write_request(own.to_json(), record, lent, frozen.get(site.name))
        return requests

    def _has_labels(self, site: Site) -> bool:
        return has_labels(site.card, self._experiment)

    def _frozen_of(self, site: Site) -> FrozenParameters:
        return self._frozen[self._has_labels(site)]

    def _receive(self, site: Site, reply: Reply, spool: Spool) -> Update:
        labelled = self._has_labels(site)
        expected = Expected(
            site.name,
            site.card,
            shared_groups(self._request.phase, self._experiment, labelled, site.card.has_hq),
            self._model.expected(self._request.phase, labelled, site.card.has_hq),
        )
        with distrusted():
            header, content = reply.read(UpdateHeader)
            arrays = read_update(content, self._federation.compression, expected.arrays, self._sent)
            check_update(header, arrays, self._request, expected)
        spool.put(site.name, arrays)
        return Update(
            header,
            self._weight(header),
            size_of(content),
            moved(arrays, self._sent),
            digest_arrays(arrays),
            reply.audit_head,
        )

    def _fold(self, outcome: Outcome, received: dict[str, Update], spool: Spool) -> None:
        outliers = self._norms.outliers({name: update.distance for name, update in received.items()})
        for name, update in sorted(received.items()):
            if name in outliers:
                self._refuse(outcome, name, Fault.NORM, update.audit_head)
                continue
            outcome.taken[name] = update
            outcome.bytes_up += update.size
            self._context.audit.append(
                "update-accepted",
                site=name,
                **self._place,
                groups=update.header.groups,
                digest=update.digest,
                bytes=update.size,
                norm=update.distance,
                weight=update.weight,
                **update.audit_head,
            )
        weights = {name: update.weight for name, update in outcome.taken.items()}
        outcome.combined = self._broadcast.onto_exact(
            self._model.combine(spool.updates(weights, self._counted))
        )

    def _refuse(self, outcome: Outcome, site: str, code: str, audit_head: dict[str, str]) -> None:
        outcome.failed[site] = code
        self._context.audit.append("update-refused", site=site, **self._place, code=code, **audit_head)

    def _weight(self, header: UpdateHeader) -> int:
        weighting = self._federation.weighting
        if weighting == "equal":
            return 1
        if weighting == "capped_images":
            return min(header.lq_images, self._federation.weight_cap or header.lq_images)
        return header.lq_images + (header.hq_images if weighting == "all_images" else 0)
