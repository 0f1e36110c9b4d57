"""Which trackers are wanted, as they are named on a command line: checked before anything begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from hqgnet.errors import ConfigurationError, Problem
from server.tracking.base import Tracker

Kind = Literal["tensorboard", "mlflow"]
FOLDER = "tensorboard"
"""Of event files in a run's folder, where no other place is given."""
# Package, and the extra of ours that installs it.
_PACKAGES = {"tensorboard": ("tensorboardX", "tracking"), "mlflow": ("mlflow", "mlflow")}


@dataclass(frozen=True)
class TrackedRun:
    """What trackers know a run by.

    Attributes:
        folder: Of the run.
        identifier: The same after a resume; no other run has it.
        experiment: The experiment's name.
    """

    folder: Path
    identifier: str
    experiment: str


@dataclass(frozen=True)
class Choice:
    """One tracker.

    Attributes:
        kind: Which.
        place: Folder of TensorBoard's event files, absolute, or MLflow's tracking URI; empty: the run's
            folder.
    """

    kind: Kind
    place: str = ""

    def __str__(self) -> str:
        """As it is named on a command line."""
        return f"{self.kind}:{self.place}" if self.place else self.kind

    def open(self, run: TrackedRun) -> Tracker:
        """Open the tracker; may raise anything that its library raises."""
        if self.kind == "mlflow":
            from server.tracking.mlflow import MlflowTracker

            return MlflowTracker(self.place, run.experiment, run.folder.name, run.identifier)
        from server.tracking.tensorboard import TensorBoardTracker

        return TensorBoardTracker(Path(self.place) if self.place else run.folder / FOLDER, run.identifier)


def choose(named: Sequence[str]) -> tuple[Choice, ...]:
    """Read what a command line names: ``tensorboard``, ``tensorboard:FOLDER``, ``mlflow:URI``.

    Relative folders are made absolute: a run is tracked by another process than the one that is asked.

    Raises:
        ConfigurationError: With every one that is unknown, incomplete, named twice or not installed.
    """
    problems: list[Problem] = []
    choices: list[Choice] = []
    for text in named:
        kind, _, place = text.partition(":")
        problem = _problem(kind, place)
        if problem is not None:
            problems.append(problem)
        elif kind == "mlflow":
            choices.append(Choice("mlflow", place))
        else:
            choices.append(Choice("tensorboard", str(Path(place).absolute()) if place else ""))
    problems += [
        Problem("tracking", f"{choice} is named twice", "Name it once")
        for number, choice in enumerate(choices)
        if choice in choices[:number]
    ]
    if problems:
        raise ConfigurationError(problems)
    return tuple(choices)


def track_setting(named: Sequence[str]) -> dict[str, str]:
    """Return the run configuration's key ``track`` for what a command line names; nothing for nothing.

    Raises:
        ConfigurationError: As :func:`choose`.
    """
    choices = choose(named)
    return {"track": json.dumps([str(choice) for choice in choices])} if choices else {}


def read_setting(text: str) -> tuple[Choice, ...]:
    """Read the run configuration's key ``track``: a JSON list, one tracker, or nothing.

    Raises:
        ConfigurationError: As :func:`choose`.
    """
    try:
        named = json.loads(text) if text.startswith("[") else [text] if text else []
    except ValueError:
        named = [text]
    return choose([str(name) for name in named])


def _problem(kind: str, place: str) -> Problem | None:
    if kind not in _PACKAGES:
        remedy = "Give tensorboard, tensorboard:FOLDER or mlflow:URI"
        return Problem("tracking", f"{kind!r} is unknown", remedy)
    if kind == "mlflow" and not place:
        remedy = "Give its server: mlflow:https://mlflow.example.org"
        return Problem("tracking", "mlflow is named without an address", remedy)
    if kind == "mlflow" and urlsplit(place).password is not None:
        remedy = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for the server's processes"
        return Problem("tracking", "the address of mlflow holds a password", remedy)
    package, extra = _PACKAGES[kind]
    if find_spec(package) is None:
        remedy = f"In the project's folder: pip install -c constraints.txt '.[{extra}]'"
        return Problem("tracking", f"{package} is not installed", remedy)
    return None
