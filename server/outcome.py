"""How a run ended, from its directory: nothing said when all went well, the right error otherwise."""

from __future__ import annotations

from collections.abc import Callable

from hqgnet.errors import ConfigurationError, ExitCode, Problem, QuorumError, RunFailedError
from server.progress import read_status
from server.run_directory import RunDirectory

_KINDS = {ExitCode.CONFIGURATION: ConfigurationError, ExitCode.QUORUM_NOT_MET: QuorumError}


def raise_unless_completed(directory: RunDirectory, log: Problem, unfinished: Callable[[], Problem]) -> None:
    """Raise what a run ended with; a run that ended without a word is written down as failed.

    Args:
        directory: Of the run.
        log: Where to read more; told after the run's own problems.
        unfinished: Gives what to say of a run that ended before its time.

    Raises:
        HqgnetError: Of the kind that the run's exit code names, unless it is completed.
        KeyboardInterrupt: If somebody stopped it.
    """
    state, exit_code, problems = read_status(directory)
    if state == "completed":
        return
    if exit_code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if state == "failed" and problems:
        kind = _KINDS.get(ExitCode(exit_code), RunFailedError)
        raise kind([*problems, log])
    problem = unfinished()
    write_failure(directory, problem, ExitCode.RUN_FAILED)
    raise RunFailedError(problem)


def write_failure(directory: RunDirectory, problem: Problem, code: ExitCode) -> None:
    """Write that a run failed, in the place of a ServerApp that could not."""
    status = {"state": "failed", "exit_code": int(code), "problems": [vars(problem)]}
    directory.write_json("status.json", status)
