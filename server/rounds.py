"""The run: three phases of rounds, judged, kept, and gone on with after whatever stopped it."""

from __future__ import annotations

import time
from functools import partial

from hqgnet.config import PHASES, PhaseName
from hqgnet.errors import Problem, QuorumError
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.participation import part_in
from hqgnet.exchange.update import EXPLANATIONS, EvaluateRequest, SiteError
from server.best import BestModel, judged_phase
from server.checkpoints import Position, save_state
from server.context import RunContext
from server.cue_bank import BankKeeper
from server.evaluation import Judgement, judge
from server.frozen import frozen_parameters
from server.global_model import GlobalModel
from server.guards import Fault, NormGuard
from server.parts import check_parts
from server.results import write_table
from server.roster import Roster, Site
from server.round import Attempt, Outcome

_GROWTH = 3.0
_LONGEST_PAUSE_S = 600.0


def pause_before(attempt: int, first_s: float) -> float:
    """Return for how many seconds to wait before an attempt at a round, from 1: not the first one.

    Args:
        attempt: Which.
        first_s: The shortest pause; longer ones end at ten minutes, or at it.
    """
    return min(first_s * _GROWTH ** (attempt - 1), max(first_s, _LONGEST_PAUSE_S))


class Rounds:
    """One run of the three phases.

    Args:
        context: The run.
        roster: Of its sites.
        state: Where to go on, as :func:`server.checkpoints.load_state` gave it; None begins.
    """

    def __init__(
        self, context: RunContext, roster: Roster, state: tuple[Position, Arrays] | None = None
    ) -> None:
        self._context = context
        self._experiment = context.experiment
        self._directory = context.directory
        self._progress = context.progress
        self._roster = roster
        self._model = GlobalModel(context.experiment)
        self._best = BestModel(context, self._model)
        self._cues = BankKeeper(context, self._model)
        self._norms = NormGuard(context.experiment.federation.norm_limit)
        self._frozen = frozen_parameters({}, {})
        self._phases = [phase for phase in PHASES if context.experiment.phase(phase).rounds]
        self._begun = state is not None
        self._at = Position(
            run=context.run,
            experiment=context.experiment.digest(),
            phase=self._phases[0],
            task_trained=context.experiment.downstream.weights is not None,
        )
        if state is not None:
            self._at, arrays = state
            self._model.load_state(arrays, self._at.round)
            self._best.restore(self._at.best_round)
            self._cues.restore(arrays, self._at.cues_taken, self._at.cues_extractor)
            self._norms = NormGuard(context.experiment.federation.norm_limit, self._at.distances)

    def run(self) -> None:
        """Train all phases, judge the best model on every site's test images, and write the table.

        Raises:
            QuorumError: If too few sites join, too few valid updates come in for a round, after retries, or
                no site judges the best model.
            ConfigurationError: If sites do not fit the experiment.
            OutputError: If results cannot be written.
            RunFailedError: If the SuperLink is gone for too long.
        """
        joined = self._roster.gather()
        ahead = self._phases[self._phases.index(self._at.phase) :]
        check_parts(self._experiment, joined, ahead)
        if not self._begun:
            self._keep(self._at)
        for phase in ahead:
            self._phase(phase)
        if not self._at.tested:
            self._judge_best()
            # Before the sites delete what a second judgement would need.
            self._keep(self._at.model_copy(update={"tested": True}))
        self._roster.finish()
        self._progress.say("finished", run=self._context.run, directory=str(self._directory.root))

    def _phase(self, phase: PhaseName) -> None:
        done = self._at.round if self._at.phase == phase else 0
        if not done:
            self._model.begin_phase()
            self._norms.begin_phase()
            self._cues.begin_phase()
        whole, without_labels = (self._model.frozen(phase, has_labels) for has_labels in (True, False))
        self._frozen = frozen_parameters(whole, without_labels)
        rounds = self._experiment.phase(phase).rounds
        self._progress.say("phase", phase=phase, rounds=rounds)
        # The round after which the run was stopped may still have to be judged.
        for number in range(max(1, done), rounds + 1):
            if number > done:
                self._round(phase, number)
            if not self._at.judged:
                self._conclude(phase, number)

    def _round(self, phase: PhaseName, number: int) -> None:
        """Train until a round counts, and keep what came of it."""
        federation, global_round = self._experiment.federation, self._at.global_round + 1
        for attempt in range(federation.attempts):
            if attempt:
                time.sleep(pause_before(attempt, federation.retry_pause_s))
            if self._experiment.federation.cue_bank.enabled:
                self._cues.renew(self._roster.online(), phase, number, self._at.global_round)
            sitting_out: dict[str, str] = {}
            sites = self._roster.wait(partial(self._is_asked, phase=phase, sitting_out=sitting_out))
            outcome = Outcome()
            earlier = self._at.counted if self._at.phase == phase else {}
            if len(sites) >= federation.minimum_sites:
                outcome = Attempt(
                    self._context,
                    self._model,
                    self._norms,
                    self._frozen,
                    phase,
                    number,
                    global_round=global_round,
                    attempt=attempt,
                    counted=earlier,
                    bank=self._cues.bank,
                ).run(sites)
            counted = len(outcome.taken) >= federation.minimum_sites
            self._report(outcome, phase, number, global_round, attempt, sites, sitting_out, counted)
            for name, code in outcome.failed.items():
                if code == Fault.COUNTS:
                    self._roster.ask_again(name)
            if counted:
                break
            place = {"phase": phase, "round": number, "attempt": attempt}
            valid = {"valid": len(outcome.taken), "wanted": federation.minimum_sites}
            self._context.audit.append("round-not-counted", **place, **valid)
        else:
            raise self._no_quorum(outcome, phase, number)
        trained = self._at.task_trained or any(name.startswith("task.") for name in outcome.combined)
        self._model.step(outcome.combined)
        self._norms.remember(update.distance for update in outcome.taken.values())
        ended = number * self._experiment.phase(phase).steps
        steps = {"counted": earlier | dict.fromkeys(outcome.taken, ended)}
        position = {"phase": phase, "round": number, "global_round": global_round}
        told = {"judged": False, "task_trained": trained}
        self._keep(self._at.model_copy(update={**position, **told, **steps}))

    def _conclude(self, phase: PhaseName, number: int) -> None:
        """Do what follows a round that counted; done once more, it gives the same."""
        rounds, evaluation = self._experiment.phase(phase).rounds, self._experiment.evaluation
        # A generator that has not begun to learn gives nothing to judge.
        due = phase != "pretrain" and (number % evaluation.every == 0 or number == rounds)
        guidance = bank = None
        if due:
            judgement = self._judge(phase, number, "validation")
            guidance, bank = judgement.guidance, judgement.bank
            self._best.consider(judgement, self._model.published, task_trained=self._at.task_trained)
        if number == rounds:
            file = f"{phase}.safetensors"
            details = {"phase": phase, "round": rounds, "task_trained": self._at.task_trained}
            path = self._directory.models / file
            sha256 = self._model.save(path, self._model.published, guidance, details, bank)
            self._context.audit.append("model-published", file=file, sha256=sha256, phase=phase, round=number)
        if due or number == rounds:
            best = {"best_round": self._best.round, "best_score": self._best.score}
            self._keep(self._at.model_copy(update={"judged": True, **best}))

    def _keep(self, position: Position) -> None:
        kept = {"cues_taken": self._cues.taken, "cues_extractor": self._cues.extractor}
        distances = tuple(map(tuple, self._norms.history))
        self._at = position.model_copy(update={"distances": distances, **kept})
        save_state(self._directory.state, self._at, self._model.state() | self._cues.state())
        facts = {"phase": position.phase, "round": position.round, "global_round": position.global_round}
        digests = {"latest": digest_arrays(self._model.latest)}
        if self._experiment.federation.server_average:
            digests["published"] = digest_arrays(self._model.published)
        self._context.audit.append("checkpoint", **facts, judged=position.judged, **digests)

    def _no_quorum(self, outcome: Outcome, phase: PhaseName, number: int) -> QuorumError:
        minimum = self._experiment.federation.minimum_sites
        failures = ", ".join(f"{site}: {code}" for site, code in sorted(outcome.failed.items()))
        what = f"{len(outcome.taken)} of {minimum} valid updates in {phase} round {number}"
        what += f" ({failures})" if failures else ""
        codes = sorted(set(outcome.failed.values()) & EXPLANATIONS.keys())
        meaning = "".join(f" {code}: {EXPLANATIONS[SiteError(code)]}." for code in codes)
        remedy = f"Look at site.log in the sites' work folders, mend it and start again.{meaning}"
        return QuorumError(Problem("federation.minimum_sites", what, remedy))

    @staticmethod
    def _nobody_judged(judgement: Judgement) -> QuorumError:
        failures = ", ".join(f"{site}: {code}" for site, code in sorted(judgement.failed.items()))
        what = f"no site has judged the model of {judgement.phase} round {judgement.round} ({failures})"
        remedy = "Look whether the sites are up, and at site.log in their work folders; then resume the run"
        return QuorumError(Problem("the final judgement", what, remedy))

    def _report(
        self,
        outcome: Outcome,
        phase: PhaseName,
        number: int,
        global_round: int,
        attempt: int,
        asked: list[Site],
        sitting_out: dict[str, str],
        counted: bool,
    ) -> None:
        row = {
            "phase": phase,
            "round": number,
            "global_round": global_round,
            "attempt": attempt,
            "counted": counted,
            "losses": outcome.losses(),
            "seconds": round(outcome.seconds, 3),
            "failed": dict(sorted(outcome.failed.items())),
            "absent": [name for name in self._roster.absent(asked) if name not in sitting_out],
            "sitting_out": dict(sorted(sitting_out.items())),
        }
        traffic = {"bytes_down": outcome.bytes_down, "bytes_up": outcome.bytes_up}
        whole = {"run": self._context.run, **row, **traffic, "sites": outcome.rows()}
        self._directory.append("rounds.jsonl", whole)
        rounds = self._experiment.phase(phase).rounds
        self._progress.say("round", **row, rounds=rounds, sites=sorted(outcome.taken))

    def _judge(self, phase: PhaseName, number: int, split: str, *, final: bool = False) -> Judgement:
        parameters = self._best.parameters if final else self._model.published
        # Nobody judges the result a second time: whoever is away for a moment is waited for.
        sites = self._roster.wait(lambda site: True) if final else self._roster.online()
        bank = self._best.bank
        if not final:
            bank = self._cues.of_model(sites, parameters, phase, number, self._at.global_round)
        request = EvaluateRequest(
            run=self._context.run,
            phase=phase,
            round=number,
            split="test" if split == "test" else "validation",
            with_task=self._at.task_trained,
            want_guidance=not final and bank is None,
            final=final,
            experiment=self._experiment.to_json(),
        )
        judgement = judge(self._context, sites, self._model, parameters, request, bank)
        if final:
            judgement.failed.update(dict.fromkeys(self._roster.absent(sites), Fault.NO_REPLY))
            if judgement.failed and not judgement.rows:
                raise self._nobody_judged(judgement)
        place = {"run": self._context.run, "phase": phase, "round": number, "split": split}
        for site, row in judgement.rows.items():
            self._directory.append("metrics.jsonl", {**place, "kind": "site", "site": site, **row})
        behind = {"sites_behind": judgement.sites_behind}
        self._directory.append("metrics.jsonl", {**place, "kind": "site-mean", **judgement.mean, **behind})
        self._directory.append("metrics.jsonl", {**place, "kind": "pooled", **judgement.pooled})
        self._progress.say(
            "evaluation",
            **place,
            mean=judgement.mean,
            failed=judgement.failed,
            sitting_out=judgement.sitting_out,
            seconds=round(judgement.seconds, 3),
        )
        return judgement

    def _judge_best(self) -> None:
        phase = judged_phase(self._experiment)
        if phase == "pretrain":
            rounds = self._experiment.phase(phase).rounds
            self._best.take(self._model.published, rounds, None, "only pretrained", task_trained=False)
            return
        judgement = self._judge(phase, self._best.round, "test", final=True)
        table = write_table(self._directory, self._experiment, judgement)
        self._progress.say("table", text=table)

    def _is_asked(self, site: Site, phase: PhaseName, sitting_out: dict[str, str]) -> bool:
        """Return whether a site trains in a phase; note why not."""
        part = part_in(phase, site.card, self._experiment, lent=self._cues.bank is not None)
        if not part.trains:
            sitting_out[site.name] = part.note
        return part.trains
