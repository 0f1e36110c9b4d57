"""From rows to stages of training: which there are, what each starts from, how long it is.

A stage is a training of its own, kept in a file. Rows that need the same one share it, within a table and
over tables: "HQG-Net" and "HQG-Net+" begin with the same enhancer, and so does every default row of Table V.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any, Literal

from hqgnet.ablation.tables import Row, Table
from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.method_config import AblationConfig
from hqgnet.yaml_files import validate_mapping

PRETRAINING_SHARE = 4
"""Pretraining takes one step for so many of the budget."""

MODEL_NAME = "model.safetensors"
PRIVATE_NAME = "private.safetensors"
"""What a joint training goes on with beside the published model: adversaries, EnlightenGAN's features."""

StageKind = Literal["enhance", "downstream", "joint"]


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        kind: ``enhance``: pretraining and the enhancer; ``downstream``: the downstream network alone, on
            images of a finished enhancer or as they are; ``joint``: both (Eq. 15).
        name: Begins the folder's name.
        experiment: What is trained; files of earlier stages are relative to the folder of results.
        start: Whose enhancer it begins with.
    """

    kind: StageKind
    name: str
    experiment: Experiment
    start: Stage | None = None

    @property
    def key(self) -> str:
        """Of all that decides the weights; those of a stage that it starts from among them."""
        # A name, and how it is judged, change no weight; nor does a key that a later version adds.
        decisive = self.experiment.model_dump(
            mode="json", exclude={"name", "evaluation"}, exclude_defaults=True
        )
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """Where its files lie, relative to the folder of results."""
        return Path("models") / f"seed-{self.experiment.seed}" / f"{self.name}-{self.key}"

    @property
    def model(self) -> Path:
        """Its model, written last."""
        return self.folder / MODEL_NAME

    @property
    def private(self) -> Path:
        """What :data:`PRIVATE_NAME` says."""
        return self.folder / PRIVATE_NAME

    def experiment_in(self, out: Path) -> Experiment:
        """Return the experiment with files of earlier stages where they lie."""
        if self.start is None:
            return self.experiment
        changes: dict[str, Any] = {"start_from": str(out / self.start.model)}
        peer = self.experiment.enlightengan
        if peer.feature_network == str(self.start.private):
            located = {"feature_network": str(out / self.start.private)}
            changes["enlightengan"] = peer.model_copy(update=located)
        return self.experiment.model_copy(update=changes)


@dataclass(frozen=True)
class Planned:
    """A row with one seed.

    Attributes:
        row: Which.
        seed: Of weights and batches.
        judged: Says how it is judged: size, metrics, guides.
        stage: Whose model is judged; None where nothing is trained.
    """

    row: Row
    seed: int
    judged: Experiment
    stage: Stage | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its trainings, in their order."""
        if self.stage is None:
            return ()
        return (self.stage,) if self.stage.start is None else (self.stage.start, self.stage)


def plan(
    table: Table,
    rows: Sequence[Row],
    experiment: Experiment,
    budget: int,
    seeds: Sequence[int],
    where: str,
    *,
    with_downstream: bool = False,
) -> list[Planned]:
    """Return what a table takes.

    Args:
        table: Which.
        rows: Of it.
        experiment: On which the rows lay their changes. Keys that it does not give stay with each method's
            own default; the batch size is the same for all, so that equal steps are equal images.
        budget: Steps of enhancement, and as many with a downstream network.
        seeds: Of each row.
        where: Said in errors: the experiment's file.
        with_downstream: Train a downstream network on the images of every row of a table of images too.

    Raises:
        ConfigurationError: With everything that does not fit together.
    """
    problems = _misfits(table, experiment, where)
    planned = []
    for row in rows:
        try:
            planned += [
                _Planner(experiment, row, budget, seed, where).planned(table, with_downstream)
                for seed in seeds
            ]
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return planned


def pretraining_steps(budget: int) -> int:
    """Return the steps of pretraining beside a budget."""
    return max(1, budget // PRETRAINING_SHARE)


def rounds_and_steps(total: int, wished: int) -> tuple[int, int]:
    """Return how many rounds of how many steps make ``total``, near to ``wished`` steps a round.

    Weights are averaged over rounds, where that is asked for, and the total is kept to the step.
    """
    divisors = [number for number in range(1, total + 1) if total % number == 0]
    steps = min(divisors, key=lambda number: abs(log(number / wished)))
    return total // steps, steps


class _Planner:
    """Builds one row's experiments."""

    def __init__(self, experiment: Experiment, row: Row, budget: int, seed: int, where: str) -> None:
        self._experiment = experiment
        self._row = row
        self._budget = budget
        self._seed = seed
        self._where = f"{where}, row {row.name}"
        self._method = row.changes.get("method", experiment.method)

    def planned(self, table: Table, with_downstream: bool) -> Planned:
        row, downstream = self._row, self._experiment.downstream
        teaches = table.judges != "images" or with_downstream
        # A finished downstream network that is not to be trained judges every row as it is.
        teaches = teaches and downstream.trained_in_cooperate
        if row.has_fixed_images:
            sees = "original" if row.kind == "untouched" else "enhanced"
            alone = self._alone(None, sees)
            return Planned(row, self._seed, alone.experiment, alone if teaches else None)
        enhanced = self._enhance()
        # How many guides judge has no part in the training.
        judged = self._build(self._lengths(pretrain=True, enhance=True), row.changes)
        if row.kind == "joint":
            return Planned(row, self._seed, judged, self._joint(enhanced))
        return Planned(row, self._seed, judged, self._alone(enhanced, "enhanced") if teaches else enhanced)

    def _enhance(self) -> Stage:
        changes = self._lengths(pretrain=True, enhance=True)
        return self._stage("enhance", self._build(changes, self._training_changes()))

    def _alone(self, start: Stage | None, sees: str) -> Stage:
        changes = {
            **self._lengths(cooperate=True),
            "downstream.trained_in_cooperate": True,
            "downstream.enhancer_trained_in_cooperate": False,
            "downstream.sees": sees,
            "start_from": None if start is None else str(start.model),
        }
        return self._stage("downstream", self._build(self._training_changes(), changes), start)

    def _joint(self, start: Stage) -> Stage:
        changes = {
            **self._lengths(cooperate=True),
            "downstream.enhancer_trained_in_cooperate": True,
            "downstream.sees": "enhanced",
            "start_from": str(start.model),
        }
        if self._method == "enlightengan" and self._experiment.enlightengan.feature_network is None:
            changes["enlightengan.feature_network"] = str(start.private)
        return self._stage("joint", self._build(self._training_changes(), changes), start)

    def _training_changes(self) -> dict[str, Any]:
        return {key: value for key, value in self._row.changes.items() if key != "ablation.guidance_pool"}

    def _stage(self, kind: StageKind, experiment: Experiment, start: Stage | None = None) -> Stage:
        untouched = self._row.kind == "untouched"
        return Stage(kind, f"{'original' if untouched else self._method}-{kind}", experiment, start)

    def _lengths(
        self, *, pretrain: bool = False, enhance: bool = False, cooperate: bool = False
    ) -> dict[str, Any]:
        """Return the keys of the phases: those that run have their share of the budget."""
        given = self._experiment.enlightengan.feature_network is not None and self._method == "enlightengan"
        totals: dict[PhaseName, int] = {
            "pretrain": pretraining_steps(self._budget) if pretrain and not given else 0,
            "enhance": self._budget if enhance else 0,
            "cooperate": self._budget if cooperate else 0,
        }
        keys: dict[str, Any] = {}
        for phase in PHASES:
            rounds, steps = 0, 1
            if totals[phase]:
                rounds, steps = rounds_and_steps(totals[phase], self._experiment.phase(phase).steps)
            keys |= {f"phases.{phase}.rounds": rounds, f"phases.{phase}.steps": steps}
        return keys

    def _build(self, *layers: Mapping[str, Any]) -> Experiment:
        """Return the experiment under layers of changes, of which the later win."""
        mapping = self._experiment.model_dump(exclude_unset=True)
        common = {"seed": self._seed, "training.batch_size": self._experiment.training.batch_size}
        for layer in (common, *layers):
            for path, value in layer.items():
                _put(mapping, path.split("."), value)
        return validate_mapping(mapping, Experiment, self._where)


def _put(mapping: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        mapping = mapping.setdefault(key, {})
    mapping[path[-1]] = value


def _misfits(table: Table, experiment: Experiment, where: str) -> list[Problem]:
    """Return what an experiment says that a table says itself."""
    problems = []
    if experiment.method != "hqgnet":
        what = f"is {experiment.method}, and the rows of Table {table.name} name their methods"
        problems.append(Problem(f"{where}: method", what, "Leave the key out"))
    if experiment.ablation != AblationConfig():
        what = "has switches set, and the rows of a table set them"
        problems.append(Problem(f"{where}: ablation", what, "Leave the section out"))
    if experiment.start_from is not None:
        what = "is given, and the rows of a table begin with their own weights"
        problems.append(Problem(f"{where}: start_from", what, "Leave the key out"))
    task = experiment.downstream.task
    if table.judges != "images" and task != table.judges:
        what = f"is {task}, and Table {table.name} is on {table.judges}"
        remedy = "Set it, and downstream.network, for that task, or give another table"
        problems.append(Problem(f"{where}: downstream.task", what, remedy))
    return problems
