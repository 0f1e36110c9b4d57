"""Ending a run before its time, so that it can be gone on with."""

from __future__ import annotations

import contextlib
import time

from hqgnet.errors import ConfigurationError, ExitCode, Problem, RunFailedError
from server.federation import Federation
from server.launch.control import FlowerControl
from server.launch.glance import flower_run_of, is_alive, process_of
from server.outcome import write_failure
from server.progress import read_status
from server.run_directory import RunDirectory

_ENDS_S = 15.0
_POLL_S = 0.2
_OVER = ("completed", "failed")


def stop(federation: Federation, name: str | None) -> list[str]:
    """Stop one run, or all that are going on; return their names.

    Raises:
        ConfigurationError: If there is no such run, or it is over.
        ServerDownError: If the SuperLink does not answer.
        RunFailedError: If it refuses.
    """
    going_on = {
        directory: flower_run_of(directory)
        for directory in (RunDirectory(file.parent) for file in sorted(federation.runs.glob("*/status.json")))
        if read_status(directory)[0] not in _OVER
    }
    wanted = [directory for directory in going_on if name in (None, directory.root.name)]
    if name is not None and not wanted:
        remedy = "See `hqgnet-server status FEDERATION.yaml` for what is"
        raise ConfigurationError(Problem(name, "is no run that is going on", remedy))
    control = FlowerControl(federation)
    others = {going_on[directory] for directory in going_on if directory not in wanted}
    for run in control.runs():
        # One that has not begun yet has written no identifier: it is whatever no other run owns.
        if not run.finished and run.identifier not in others:
            with contextlib.suppress(RunFailedError):  # it may have ended by itself meanwhile
                control.stop(run.identifier)
    for directory in wanted:
        wait_for_end(directory)
        if read_status(directory)[0] not in _OVER:
            write_stopped(directory)
    return [directory.root.name for directory in wanted]


def wait_for_end(directory: RunDirectory, limit_s: float = _ENDS_S) -> bool:
    """Wait until a run's process has ended; return whether it has."""
    begun = time.monotonic()
    while is_alive(process_of(directory)):
        if time.monotonic() - begun > limit_s:
            return False
        time.sleep(_POLL_S)
    return True


def write_stopped(directory: RunDirectory) -> None:
    """Write down that a run was stopped by somebody, and how it goes on."""
    name = directory.root.name
    remedy = f"Go on with it: hqgnet-server run --federation FEDERATION.yaml --resume {name}"
    write_failure(directory, Problem(name, "was stopped", remedy), ExitCode.INTERRUPTED)
