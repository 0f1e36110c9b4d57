"""How far a run is, read from its directory while another process writes it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.progress import Event, Follower, read_status
from server.run_directory import RunDirectory

_SERVERAPP = b"flwr-serverapp"


@dataclass(frozen=True)
class RunProgress:
    """A run at a glance.

    Attributes:
        name: Of its folder.
        state: ``submitted``, ``running``, ``died`` (running, but its process is gone), ``completed``,
            ``failed``, or ``absent`` for a folder without a status.
        exit_code: What it ended with.
        reason: Why it failed; empty otherwise.
        flower_run: Flower's identifier, where it is known.
        changed: When its status was last written, in seconds since 1970.
        phase: The present or last phase.
        round: The last round that is done; 0 before the first.
        rounds: Of that phase.
        seconds: How long that round took.
        cards: Each site's data card in short, as it introduced itself.
        left_out: Why sites were left out, the last word of each.
    """

    name: str
    state: str
    exit_code: int = 0
    reason: str = ""
    flower_run: int | None = None
    changed: float = 0.0
    phase: str | None = None
    round: int = 0
    rounds: int = 0
    seconds: float | None = None
    cards: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()


def look_at(directory: RunDirectory) -> RunProgress:
    """Read a run's status and events."""
    state, exit_code, problems = read_status(directory)
    if state == "running" and not is_alive(process_of(directory)):
        state = "died"
    phase: Event = {}
    done: Event = {}
    cards: dict[str, dict[str, Any]] = {}
    left_out: dict[str, None] = {}
    for event in Follower(directory.progress).new_events():
        if event["event"] == "phase":
            phase, done = event, {}
        elif event["event"] == "round":
            done = event
        elif event["event"] == "site":
            told = ("name", "lq", "hq", "masks", "grades")
            cards[event["name"]] = {key: event[key] for key in told if key in event}
        elif event["event"] == "left-out":
            left_out[str(event["reason"])] = None
    return RunProgress(
        directory.root.name,
        state,
        exit_code,
        problems[0].what if problems else "",
        flower_run_of(directory),
        directory.status.stat().st_mtime if directory.status.exists() else 0.0,
        done.get("phase", phase.get("phase")),
        int(done.get("round") or 0),
        int(done.get("rounds") or phase.get("rounds") or 0),
        done.get("seconds"),
        tuple(cards.values()),
        tuple(left_out),
    )


def latest_runs(folder: Path, limit: int) -> list[RunProgress]:
    """Return the runs that changed last, the latest first."""
    written = [file for file in folder.glob("*/status.json") if file.is_file()]
    written.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    return [look_at(RunDirectory(file.parent)) for file in written[:limit]]


def process_of(directory: RunDirectory) -> int | None:
    """Return the process identifier of a run's ServerApp, if its status names one."""
    return _number(directory, "pid")


def flower_run_of(directory: RunDirectory) -> int | None:
    """Return Flower's identifier of a run, if its status names one."""
    return _number(directory, "flower_run")


def is_alive(process: int | None) -> bool:
    """Return whether that process is a ServerApp that lives: no zombie, and no other program."""
    if process is None:
        return False
    if Path("/proc/self").exists():
        try:
            return _SERVERAPP in Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return False
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _number(directory: RunDirectory, key: str) -> int | None:
    try:
        value = json.loads(directory.status.read_text(encoding="utf-8")).get(key)
        return None if value is None else int(value)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
