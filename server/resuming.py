"""Going on with the run that a run directory holds: the same experiment, and no row twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hqgnet.config import PHASES, Experiment, experiment_from_json
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.exchange.arrays import Arrays
from server.checkpoints import Position, load_state
from server.run_directory import RunDirectory

_ABSENT = "not set"


def check_experiment(directory: RunDirectory, experiment: Experiment) -> None:
    """Make sure that a run goes on with what it began with.

    Raises:
        ConfigurationError: Naming every key that differs.
    """
    file = directory.experiment
    if not file.exists():
        return
    begun = experiment_from_json(file.read_text(encoding="utf-8"), str(file))
    if begun.digest() == experiment.digest():
        return
    pairs = _differences("", json.loads(begun.to_json()), json.loads(experiment.to_json()))
    remedy = "Resume with the run's own experiment.json, or start a new run with another --name"
    raise ConfigurationError(
        Problem(f"{file}: {key}", f"the run began with {json.dumps(was)}, not {json.dumps(now)}", remedy)
        for key, was, now in pairs
    )


def reopen(directory: RunDirectory) -> tuple[Position, Arrays] | None:
    """Make a run directory ready to go on, and return the state from which; None where it must begin.

    Rows of rounds after that state are removed: they will be written again. Of events, which tell what
    happened, only one that was cut off is.

    Raises:
        OutputError: If the folder cannot be used, or its states are damaged.
    """
    directory.check_free(overwrite=True)
    state = load_state(directory.state)
    directory.reopen(afresh=state is None)
    directory.prune("progress.jsonl", lambda row: True)
    if state is not None:
        position = state[0]
        directory.prune("rounds.jsonl", lambda row: int(row["global_round"]) <= position.global_round)
        directory.prune("metrics.jsonl", lambda row: _stands(row, position))
    return state


def _stands(row: dict[str, Any], position: Position) -> bool:
    if row["split"] == "test":
        return position.tested
    place = (PHASES.index(row["phase"]), row["round"])
    latest = (PHASES.index(position.phase), position.round)
    return place < latest or (place == latest and position.judged)


def _differences(prefix: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            yield from _differences(f"{prefix}.{key}", was.get(key, _ABSENT), now.get(key, _ABSENT))
    elif was != now:
        yield prefix.removeprefix("."), was, now
