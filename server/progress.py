"""Events of a run: written by the ServerApp, followed by whoever started it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hqgnet.errors import ExitCode, HqgnetError, Problem
from server.run_directory import RunDirectory, row_of

Event = dict[str, Any]


class Progress:
    """Writes the events of one run into its directory.

    Args:
        directory: Of the run.
        flower_run: Flower's number of the run; None outside Flower.
    """

    def __init__(self, directory: RunDirectory, flower_run: int | None = None) -> None:
        self._directory = directory
        self._flower_run = flower_run

    def say(self, event: str, **facts: object) -> None:
        """Append an event: waiting, site, part, left-out, resumed, phase, cues, round, evaluation, table,
        tracking or finished."""
        self._directory.append("progress.jsonl", {"time": round(time.time(), 3), "event": event, **facts})

    def status(self, state: str, error: HqgnetError | None = None, code: ExitCode = ExitCode.OK) -> None:
        """Write how the run stands: ``running``, ``completed`` or ``failed``.

        While it is running, ``pid`` is this process and ``flower_run`` Flower's number of the run, so that
        whoever watches can tell whether it is alive; afterwards both are null.
        """
        problems = [] if error is None else [vars(problem) for problem in error.problems]
        exit_code = code if error is None else error.exit_code
        running = state == "running"
        self._directory.write_json(
            "status.json",
            {
                "state": state,
                "exit_code": int(exit_code),
                "problems": problems,
                "pid": os.getpid() if running else None,
                "flower_run": self._flower_run if running else None,
            },
        )


class Follower:
    """Reads events, or other rows, as they are appended to a file that may not exist yet.

    A line that is none is passed over: on a full disk one may be cut off, and the next follow on it.

    Args:
        path: ``progress.jsonl`` of a run, say.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def new_events(self) -> Iterator[Event]:
        """Yield the whole events that were appended since the last call."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._position)
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    self._position += len(line)
                    event = row_of(line)
                    if event is not None:
                        yield event
        except FileNotFoundError:
            return


def read_status(directory: RunDirectory) -> tuple[str, int, list[Problem]]:
    """Return state, exit code and problems of a run; ``absent`` before it has begun.

    A file that is damaged counts as a failed run's: what looks at all runs has to get past it.
    """
    try:
        return parse_status(directory)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        remedy = "Go on with the run: --resume, or begin it anew: --overwrite"
        return "failed", int(ExitCode.RUN_FAILED), [Problem(str(directory.status), "cannot be read", remedy)]


def parse_status(directory: RunDirectory) -> tuple[str, int, list[Problem]]:
    """Do as :func:`read_status` does.

    Raises:
        OSError: If the file is there and cannot be opened.
        ValueError: Or another error of Python's own, if it is not as it was written.
    """
    try:
        data = json.loads(directory.status.read_text(encoding="utf-8"))
        return (
            str(data["state"]),
            int(data["exit_code"]),
            [Problem(**problem) for problem in data["problems"]],
        )
    except FileNotFoundError:
        return "absent", 0, []
