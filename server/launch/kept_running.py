"""Programs that are kept running: started again when they end, after a pause that grows."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hqgnet.child import LOG_BYTES, Child, Log

_LOGS_KEPT = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# After so long a life the next pause is the first again.
_SETTLED_S = 60.0


@dataclass
class KeptRunning:
    """One program, tied to this process: it ends when we do, however we end.

    It has to be started from the main thread, which lives as long as this process.

    Attributes:
        name: Said in log lines.
        command: Program, by path, and arguments.
        environment: All of it.
        folder: It works here.
        log: What it writes goes there, at most 60 MiB with the older ones beside it.
        starts: How often it was started.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    starts: int = 0
    _child: Child | None = field(default=None, repr=False)
    _written: Log | None = field(default=None, repr=False)
    _since: float = 0.0
    _pause_s: float = _FIRST_PAUSE_S
    _due: float | None = None

    @property
    def process_id(self) -> int | None:
        """Of the running program."""
        return self._child.process_id if self._child is not None and self._child.running else None

    def start(self) -> None:
        """Start it; what an earlier one has started lives on, as ServerApps outlive the SuperExec."""
        if self._child is not None:
            self._child.release()
        self._written = self._written or Log(self.log, _LOGS_KEPT)
        # By SIGKILL: a program that is slow to end would hold the port when we are started again.
        self._child = Child(
            self.name, self.command, self.environment, self.folder, self._written, death=signal.SIGKILL
        )
        self.starts += 1
        self._since, self._due = time.monotonic(), None

    def tend(self) -> str | None:
        """Start it again when it has ended, after a pause that doubles; return what there is to tell."""
        if self._child is None or self._child.running:
            return None
        now = time.monotonic()
        if self._due is None:
            settled = now - self._since > _SETTLED_S
            pause = _FIRST_PAUSE_S if settled else self._pause_s
            self._pause_s = min(2 * pause, _LONGEST_PAUSE_S)
            self._due = now + pause
            return f"{self.name} {self._child.end_told}; started again in {pause:g} s; see {self.log}"
        if now < self._due:
            return None
        self.start()
        return f"{self.name} started again"

    def end(self, patience_s: float) -> None:
        """End it and what it has started: politely, and by force after ``patience_s`` seconds."""
        if self._child is not None:
            self._child.ask_to_end()
            self._child.end(patience_s)
        if self._written is not None:
            self._written.close()


def limit_log(log: Path) -> None:
    """Put what a full log holds aside and empty it; its writers go on at its start.

    Args:
        log: Written in append mode, by programs whose output is not piped through here.
    """
    if not log.exists() or log.stat().st_size < LOG_BYTES:
        return
    for number in range(_LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
