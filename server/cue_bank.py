"""The bank of HQ cues on the server: asked for, checked, kept with the model it belongs to."""

from __future__ import annotations

import time
from collections.abc import Sequence

from flwr.app import MessageType

from hqgnet.config import PhaseName
from hqgnet.cue_bank import CueBank, CueEntry, ImplausibleCuesError, without_cues
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.update import CuesHeader, CuesRequest, SiteError
from server.context import RunContext
from server.global_model import GlobalModel
from server.guards import Fault, RefusedReplyError, distrusted
from server.link import Reply, ask
from server.roster import Site
from server.wire import read_arrays, size_of, write_arrays, write_request


class BankKeeper:
    """Keeps the cues with which sites without HQ images train, and collects them anew as the model moves.

    Cues belong to the cue extractor that gave them: as long as it stands still, they are not asked for again.

    Args:
        context: The run.
        model: Whose cue extractor travels.

    Attributes:
        bank: With which sites train; None where nobody lends any.
        taken: Rounds that had counted when it was taken; -1 at the beginning of a phase.
        extractor: Digest of the cue extractor that gave it.
    """

    def __init__(self, context: RunContext, model: GlobalModel) -> None:
        self._context = context
        self._settings = context.experiment.federation.cue_bank
        self._model = model
        self._declined: set[str] = set()
        self.bank: CueBank | None = None
        self.taken = -1
        self.extractor = ""

    def begin_phase(self) -> None:
        """Ask everyone again: a hospital may have changed its policy."""
        self._declined = set()
        self.taken = -1

    def state(self) -> Arrays:
        """Return the bank for a checkpoint; nothing where there is none."""
        return {} if self.bank is None else self.bank.to_arrays()

    def restore(self, arrays: Arrays, taken: int, extractor: str) -> None:
        """Take up what a checkpoint held.

        Args:
            arrays: All of the checkpoint.
            taken: Rounds that had counted when the bank was taken; -1 if that was in an earlier phase.
            extractor: Digest of the cue extractor that gave it.
        """
        lent, _ = without_cues(arrays)
        if lent:
            self.bank = CueBank.from_arrays(lent, self._model.guidance_size, self._settings.norm_limit)
        self.taken, self.extractor = taken, extractor

    def renew(self, sites: Sequence[Site], phase: PhaseName, number: int, rounds_before: int) -> None:
        """Bring the bank up to date for a round of training, where a site needs it and it is due.

        Args:
            sites: Who is online.
            phase: Of the round.
            number: Of the round in it.
            rounds_before: Rounds that have counted so far, over all phases.
        """
        if not self._settings.enabled or phase == "pretrain" or all(site.card.has_hq for site in sites):
            return
        is_missing = self.bank is None and any(self._may_lend(site) for site in sites)
        if not (is_missing or self.taken < 0 or rounds_before - self.taken >= self._settings.refresh):
            return
        extractor = self._model.cue_extractor(self._model.latest)
        if self.bank is None or digest_arrays(extractor) != self.extractor:
            self._keep(self._collected(sites, extractor, phase, number), extractor)
        self.taken = rounds_before

    def of_model(
        self, sites: Sequence[Site], parameters: Arrays, phase: PhaseName, number: int, rounds_before: int
    ) -> CueBank | None:
        """Return the bank of a model that is judged and perhaps published; None where nobody lends any.

        Args:
            sites: Who is online.
            parameters: The model's.
            phase: Of the model.
            number: Round of the model in it.
            rounds_before: Rounds that have counted so far, over all phases.
        """
        if not self._settings.enabled:
            return None
        extractor = self._model.cue_extractor(parameters)
        digest = digest_arrays(extractor)
        if self.bank is not None and digest == self.extractor:
            return self.bank
        bank = self._collected(sites, extractor, phase, number)
        if digest == digest_arrays(self._model.cue_extractor(self._model.latest)):
            self._keep(bank, extractor)
            self.taken = rounds_before
        return bank

    def _keep(self, bank: CueBank | None, extractor: Arrays) -> None:
        self.bank, self.extractor = bank, digest_arrays(extractor)

    def _collected(
        self, sites: Sequence[Site], extractor: Arrays, phase: PhaseName, number: int
    ) -> CueBank | None:
        """Ask all who may lend; a site that does not, or sends something else, is named and left out."""
        begun = time.monotonic()
        asked = {site.node_id: site for site in sites if self._may_lend(site)}
        entries: dict[str, CueEntry] = {}
        failed: dict[str, str] = {}
        bytes_down = bytes_up = 0
        if asked:
            experiment = self._context.experiment
            request = CuesRequest(
                run=self._context.run, phase=phase, round=number, experiment=experiment.to_json()
            )
            content = write_request(request.to_json(), write_arrays(extractor))
            requests, group = dict.fromkeys(asked, content), f"cues-{phase}-{number}"
            bytes_down = size_of(content) * len(asked)
            deadline = experiment.federation.round_deadline_s
            for reply in ask(self._context.grid, requests, MessageType.QUERY, group, deadline):
                site = asked[reply.node_id]
                facts = {"site": site.name, "phase": phase, "round": number, **reply.audit_head}
                try:
                    with distrusted():
                        entry = self._read(reply, request, site)
                    entries[site.name] = entry
                    bytes_up += entry.mean.nbytes + entry.covariance.nbytes
                    told = digest_arrays(entry.to_arrays())
                    self._context.audit.append("cues-accepted", images=entry.count, digest=told, **facts)
                except RefusedReplyError as error:
                    failed[site.name] = error.code
                    self._context.audit.append("cues-refused", code=error.code, **facts)
                    if error.code == SiteError.POLICY_CUES:
                        self._declined.add(site.name)
        bank = CueBank.of(entries.values())
        self._context.progress.say(
            "cues",
            phase=phase,
            round=number,
            sites=sorted(entries),
            images=bank.images if bank else 0,
            failed=dict(sorted(failed.items())),
            without=sorted(site.name for site in sites if not site.card.has_hq),
            minimum=self._settings.minimum_images,
            bytes_down=bytes_down,
            bytes_up=bytes_up,
            seconds=round(time.monotonic() - begun, 3),
        )
        return bank

    def _may_lend(self, site: Site) -> bool:
        has_enough = site.card.hq.train >= self._settings.minimum_images or "hq.train" in site.card.hidden
        return has_enough and site.name not in self._declined

    def _read(self, reply: Reply, request: CuesRequest, site: Site) -> CueEntry:
        header, content = reply.read(CuesHeader)
        if (header.run, header.phase, header.round) != (request.run, request.phase, request.round):
            raise RefusedReplyError(Fault.OTHER_ROUND)
        if header.site != site.name:
            raise RefusedReplyError(Fault.OTHER_SITE)
        if header.images > site.card.hq.train and "hq.train" not in site.card.hidden:
            raise RefusedReplyError(Fault.COUNTS)
        settings = self._settings
        try:
            entry = CueEntry.from_arrays(read_arrays(content), header.images)
            entry.check(self._model.guidance_size, settings.norm_limit, settings.minimum_images)
        except ImplausibleCuesError as error:
            raise RefusedReplyError(Fault.CUES) from error
        # Read from the message's own memory, which need not stay for them.
        return CueEntry(entry.count, entry.mean.copy(), entry.covariance.copy())
