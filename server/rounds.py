"""The round loop: three phases in one run; ask, check, average, step, judge, keep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import MessageType
from flwr.serverapp import Grid

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.errors import ConfigurationError, Problem, QuorumError
from hqgnet.exchange.groups import shared_groups
from hqgnet.exchange.update import (
    EXPLANATIONS,
    EvaluateRequest,
    MalformedMessageError,
    SiteError,
    TrainRequest,
    UpdateHeader,
)
from server.aggregation import RunningMean
from server.best import BestModel
from server.checkpoints import save_state
from server.evaluation import Judgement, judge
from server.global_model import GlobalModel
from server.guards import Expected, Fault, RefusedReplyError, check_update
from server.link import Reply, ask
from server.progress import Progress
from server.results import write_table
from server.roster import Roster, Site
from server.run_directory import RunDirectory
from server.wire import read_arrays, size_of, write_arrays, write_request

_ATTEMPTS = 3
# A site stops training early enough that its reply can still travel before the round's deadline.
_TRAINING_SHARE = 0.8


@dataclass
class _Outcome:
    """What came of one attempt at a round."""

    mean: RunningMean = field(default_factory=RunningMean)
    taken: dict[str, UpdateHeader] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    bytes_up: int = 0

    def losses(self) -> dict[str, float]:
        """Mean of each loss over the sites that report it, weighted as their updates are."""
        sums: dict[str, float] = {}
        totals: dict[str, int] = {}
        for site, header in sorted(self.taken.items()):
            for name, value in header.losses.items():
                sums[name] = sums.get(name, 0.0) + value * self.weights[site]
                totals[name] = totals.get(name, 0) + self.weights[site]
        return {name: total / totals[name] for name, total in sums.items()}


class Rounds:
    """One run of the three phases.

    Args:
        grid: Flower's.
        experiment: What to train.
        run: The run's identifier; sites name their private folder by it.
        directory: Prepared.
        progress: Told what happens.
        roster: Of the run's sites.
    """

    def __init__(
        self,
        grid: Grid,
        experiment: Experiment,
        run: str,
        directory: RunDirectory,
        progress: Progress,
        roster: Roster,
    ) -> None:
        self._grid = grid
        self._experiment = experiment
        self._json = experiment.to_json()
        self._run = run
        self._directory = directory
        self._progress = progress
        self._roster = roster
        self._model = GlobalModel(experiment)
        self._best = BestModel(experiment, directory, self._model)
        self._global_round = 0
        self._task_trained = False

    def run(self) -> None:
        """Train all phases, judge the best model on every site's test images, and write the table.

        Raises:
            QuorumError: If too few sites join, or too few valid updates come in for a round, after retries.
            ConfigurationError: If sites do not fit the experiment.
            OutputError: If results cannot be written.
        """
        self._check_labels(self._roster.gather())
        for phase in PHASES:
            if self._experiment.phase(phase).rounds:
                self._phase(phase)
        self._judge_best()
        self._roster.finish()
        self._progress.say("finished", run=self._run, directory=str(self._directory.root))

    def _phase(self, phase: PhaseName) -> None:
        self._model.begin_phase()
        rounds, evaluation = self._experiment.phase(phase).rounds, self._experiment.evaluation
        self._progress.say("phase", phase=phase, rounds=rounds)
        judgement = None
        for number in range(1, rounds + 1):
            self._global_round += 1
            self._round(phase, number)
            save_state(
                self._directory.state,
                self._model,
                run=self._run,
                phase=phase,
                number=number,
                global_round=self._global_round,
            )
            # A generator that has not begun to learn gives nothing to judge.
            if phase != "pretrain" and (number % evaluation.every == 0 or number == rounds):
                judgement = self._judge(phase, number, "validation")
                self._best.consider(judgement, self._model.published, task_trained=self._task_trained)
        published, guidance = self._model.published, None if judgement is None else judgement.guidance
        details = {"phase": phase, "round": rounds, "task_trained": self._task_trained}
        self._model.save(self._directory.models / f"{phase}.safetensors", published, guidance, details)

    def _round(self, phase: PhaseName, number: int) -> None:
        minimum = self._experiment.federation.minimum_sites
        for attempt in range(_ATTEMPTS):
            outcome = self._attempt(phase, number, attempt)
            if len(outcome.taken) >= minimum:
                break
        else:
            failures = ", ".join(f"{site}: {code}" for site, code in sorted(outcome.failed.items()))
            what = f"{len(outcome.taken)} of {minimum} valid updates in {phase} round {number} ({failures})"
            codes = sorted(set(outcome.failed.values()) & EXPLANATIONS.keys())
            meaning = "".join(f" {code}: {EXPLANATIONS[SiteError(code)]}." for code in codes)
            remedy = f"Look at site.log in the sites' work folders, mend it and start again.{meaning}"
            raise QuorumError(Problem("federation.minimum_sites", what, remedy))
        mean = outcome.mean.mean()
        self._task_trained = self._task_trained or any(name.startswith("task.") for name in mean)
        self._model.step(mean)

    def _attempt(self, phase: PhaseName, number: int, attempt: int) -> _Outcome:
        steps, federation = self._experiment.phase(phase).steps, self._experiment.federation
        begun = time.monotonic()
        sites = {site.node_id: site for site in self._roster.online() if self._takes_part(site, phase)}
        request = TrainRequest(
            run=self._run,
            phase=phase,
            round=number,
            global_round=self._global_round,
            attempt=attempt,
            first_step=(number - 1) * steps,
            steps=steps,
            deadline_s=federation.round_deadline_s * _TRAINING_SHARE,
            experiment=self._json,
        )
        content = write_request(request.to_json(), write_arrays(self._model.outgoing(phase)))
        outcome = _Outcome()
        group = f"{phase}-{number}-{attempt}"
        requests = dict.fromkeys(sites, content)
        for reply in ask(self._grid, requests, MessageType.TRAIN, group, federation.round_deadline_s):
            site = sites[reply.node_id]
            try:
                self._take(outcome, site, reply, request)
            except RefusedReplyError as error:
                outcome.failed[site.name] = error.code
        self._report(outcome, request, size_of(content) * len(sites), time.monotonic() - begun)
        return outcome

    def _take(self, outcome: _Outcome, site: Site, reply: Reply, request: TrainRequest) -> None:
        header, content = reply.read(UpdateHeader)
        labelled = site.card.has_masks
        expected = Expected(
            site.name,
            site.card,
            shared_groups(request.phase, self._experiment.federation, labelled),
            self._model.expected(request.phase, labelled),
        )
        try:
            arrays = read_arrays(content)
        except MalformedMessageError as error:
            raise RefusedReplyError(Fault.MALFORMED) from error
        check_update(header, arrays, request, expected)
        weight = self._weight(header)
        outcome.mean.add(arrays, weight)
        outcome.bytes_up += size_of(content)
        outcome.weights[site.name] = weight
        outcome.taken[site.name] = header

    def _weight(self, header: UpdateHeader) -> int:
        weighting = self._experiment.federation.weighting
        if weighting == "equal":
            return 1
        return header.lq_images + (header.hq_images if weighting == "all_images" else 0)

    def _report(self, outcome: _Outcome, request: TrainRequest, bytes_down: int, seconds: float) -> None:
        row: dict[str, Any] = {
            "phase": request.phase,
            "round": request.round,
            "global_round": request.global_round,
            "attempt": request.attempt,
            "losses": outcome.losses(),
            "seconds": round(seconds, 3),
            "failed": dict(sorted(outcome.failed.items())),
        }
        sites = {
            name: {
                "weight": outcome.weights[name],
                "steps": header.steps,
                "seconds": round(header.seconds, 3),
                "losses": header.losses,
            }
            for name, header in sorted(outcome.taken.items())
        }
        traffic = {"bytes_down": bytes_down, "bytes_up": outcome.bytes_up}
        self._directory.append("rounds.jsonl", {"run": self._run, **row, **traffic, "sites": sites})
        rounds = self._experiment.phase(request.phase).rounds
        self._progress.say("round", **row, rounds=rounds, sites=list(sites))

    def _judge(self, phase: PhaseName, number: int, split: str, *, final: bool = False) -> Judgement:
        request = EvaluateRequest(
            run=self._run,
            phase=phase,
            round=number,
            split="test" if split == "test" else "validation",
            with_task=self._task_trained,
            want_guidance=not final,
            final=final,
            experiment=self._json,
        )
        parameters = self._best.parameters if final else self._model.published
        judgement = judge(
            self._grid, self._roster.online(), self._experiment, self._model, parameters, request
        )
        place = {"run": self._run, "phase": phase, "round": number, "split": split}
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
            seconds=round(judgement.seconds, 3),
        )
        return judgement

    def _judge_best(self) -> None:
        phase = [phase for phase in PHASES if self._experiment.phase(phase).rounds][-1]
        if phase == "pretrain":
            self._best.take(
                self._model.published,
                self._experiment.phase(phase).rounds,
                None,
                "only pretrained",
                task_trained=False,
            )
            return
        judgement = self._judge(phase, self._best.round, "test", final=True)
        table = write_table(self._directory, self._experiment, judgement)
        self._progress.say("table", text=table)

    def _takes_part(self, site: Site, phase: PhaseName) -> bool:
        skips = self._experiment.federation.unlabelled_sites == "skip"
        return not (phase == "cooperate" and skips and not site.card.has_masks)

    def _check_labels(self, sites: Sequence[Site]) -> None:
        minimum = self._experiment.federation.minimum_sites
        labelled = [site for site in sites if self._takes_part(site, "cooperate")]
        if self._experiment.phases.cooperate.rounds and len(labelled) < minimum:
            what = f"{len(labelled)} sites have masks, {minimum} are wanted in the cooperate phase"
            remedy = "Set it to enhancement, lower federation.minimum_sites, or add masks"
            raise ConfigurationError(Problem("federation.unlabelled_sites: skip", what, remedy))
