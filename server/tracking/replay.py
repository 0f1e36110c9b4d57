"""A run's curves made from its files, as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hqgnet.errors import ConfigurationError, ExitCode, OutputError, Problem
from server.report.record import RunRecord, read_run
from server.tracking.base import Outcome, told
from server.tracking.choice import Choice, TrackedRun
from server.tracking.scalars import RowScalars


def replay(folder: Path, choices: Sequence[Choice]) -> int:
    """Give all that a run's files tell to trackers; return how many rounds that is.

    Raises:
        ConfigurationError: If there is no run, none of its rounds counted, or a file of it cannot be read.
        OutputError: If a tracker fails.
    """
    record = read_run(folder)
    steps = RowScalars().of(record.rounds, record.metrics)
    if not steps:
        what = "has no round that counted"
        raise ConfigurationError(Problem(str(folder), what, "Wait for its first round"))
    identifier, experiment = str(record.rounds[0]["run"]), str(record.experiment.get("name", record.name))
    run = TrackedRun(folder.resolve(), identifier, experiment)
    for choice in choices:
        try:
            tracker = choice.open(run)
            try:
                for step, values in steps.items():
                    tracker.scalars(step, values)
            finally:
                tracker.close(_outcome(record))
        except Exception as error:  # each library fails in its own ways
            what = f"does not take the curves ({told(error)})"
            remedy = "Check the place, its space and its server"
            raise OutputError(Problem(str(choice), what, remedy)) from error
    return len(steps)


def _outcome(record: RunRecord) -> Outcome | None:
    if record.state == "completed":
        return "completed"
    if record.state != "failed":
        return None
    return "stopped" if record.exit_code == ExitCode.INTERRUPTED else "failed"
