"""Programs that are kept running: started again when they end, logged with a limit, never left behind."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from hqgnet.tied import tied

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LOG_BYTES = 10 * 2**20
_LOGS_KEPT = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# After so long a life the next pause is the first again.
_SETTLED_S = 60.0


@dataclass
class Child:
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
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _since: float = 0.0
    _pause_s: float = _FIRST_PAUSE_S
    _due: float | None = None

    @property
    def process_id(self) -> int | None:
        """Of the running program."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it."""
        # By SIGKILL: a program that is slow to end would hold the port when we are started again.
        self._process = subprocess.Popen(
            tied(self.command, signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self.environment),
            cwd=self.folder,
            start_new_session=True,
        )
        self.starts += 1
        self._since, self._due = time.monotonic(), None
        threading.Thread(target=_pump, args=(self._process, self.log), daemon=True).start()

    def tend(self) -> str | None:
        """Start it again when it has ended, after a pause that doubles; return what there is to tell."""
        if self._process is None or self._process.poll() is None:
            return None
        now = time.monotonic()
        if self._due is None:
            settled = now - self._since > _SETTLED_S
            pause = _FIRST_PAUSE_S if settled else self._pause_s
            self._pause_s = min(2 * pause, _LONGEST_PAUSE_S)
            self._due = now + pause
            how = self._process.returncode
            end = f"was killed by {signal.Signals(-how).name}" if how < 0 else f"ended (exit code {how})"
            return f"{self.name} {end}; started again in {pause:g} s; see {self.log}"
        if now < self._due:
            return None
        self.start()
        return f"{self.name} started again"

    def end(self, patience_s: float) -> None:
        """End it and what it has started: politely, and by force after ``patience_s`` seconds."""
        if self._process is None:
            return
        if self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()


def limit_log(log: Path) -> None:
    """Put what a full log holds aside and empty it; its writers go on at its start.

    Args:
        log: Written in append mode, by programs whose output is not piped through here.
    """
    if not log.exists() or log.stat().st_size < _LOG_BYTES:
        return
    for number in range(_LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _pump(process: subprocess.Popen[bytes], log: Path) -> None:
    """Copy what a program writes to its log until the last that holds the pipe has ended."""
    handler = RotatingFileHandler(
        log, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8", errors="replace"
    )
    assert process.stdout is not None
    with contextlib.closing(handler), process.stdout:
        for line in process.stdout:
            text = _COLOUR.sub("", line.decode("utf-8", "replace").rstrip("\n"))
            handler.emit(logging.makeLogRecord({"msg": text}))
