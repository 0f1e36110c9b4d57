"""A program that a daemon runs: tied to it, logged with a limit, and ended with all that it has started."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from hqgnet.tied import tied

LOG_BYTES = 10 * 2**20
"""Where a log is put aside and begun anew."""

_LONGEST_LINE = 2**16
_LAST_WORDS_S = 2.0
_POLL_S = 0.02
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Log:
    """A file that several programs write to, line by line, of 10 MiB at most.

    Args:
        path: Where; older ones lie beside it, numbered.
        kept: How many of those.
    """

    def __init__(self, path: Path, kept: int = 3) -> None:
        self.path = path
        self._handler = RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=kept, encoding="utf-8", errors="replace", delay=True
        )

    def write(self, line: str) -> None:
        """Add a line, with the time; a full disk loses it and stops nothing."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        self._handler.handle(logging.makeLogRecord({"msg": f"{moment} {line}"}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class Child:
    """One running program. The thread that makes it has to live as long: the kernel ties it to that thread.

    Args:
        name: Said before each line in the log.
        command: Program, by path, and arguments.
        environment: All of it.
        folder: It works here.
        log: For what it writes.
        death: What the kernel sends it when the daemon is no more.
        descriptors: What it inherits beside the standard ones.
        on_line: Sees each line that it writes, in a thread of its own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Log,
        *,
        death: signal.Signals = signal.SIGTERM,
        descriptors: Sequence[int] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            tied(command, death),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            pass_fds=descriptors,
        )
        self._lock = threading.Lock()
        self._reaped = False
        self._pump = threading.Thread(target=self._copy, args=(log, on_line), daemon=True)
        self._pump.start()

    @property
    def process_id(self) -> int:
        """Of the program, and of the group of all that it has started."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        with self._lock:
            return not self._reaped and self._left() is None

    @property
    def end_told(self) -> str:
        """How it ended, for a log."""
        with self._lock:
            code = self._process.returncode if self._reaped else self._left()
        if code is None:
            return "is running"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def ask_to_end(self) -> None:
        """Ask it, and all that it has started, to end."""
        with self._lock:
            if not self._reaped:
                self._signal(signal.SIGTERM)

    def wait(self, patience_s: float) -> None:
        """Wait so many seconds at most for its end."""
        until = time.monotonic() + patience_s
        while self.running and time.monotonic() < until:
            time.sleep(_POLL_S)

    def end(self, patience_s: float = 0.0) -> None:
        """Wait so many seconds for its end, then end what is left, also of what it has started, by force."""
        self.wait(patience_s)
        with self._lock:
            if not self._reaped:
                self._signal(signal.SIGKILL)
                self._process.wait()
                self._reaped = True
        self._pump.join(_LAST_WORDS_S)

    def release(self) -> None:
        """Let go of it once it has ended; what it has started lives on."""
        with self._lock:
            if not self._reaped and self._left() is not None:
                self._process.wait()
                self._reaped = True

    def _left(self) -> int | None:
        """Return its exit code, negative for a signal, or None.

        An ended program stays a zombie until :meth:`end` or :meth:`release`, so that its number names no
        other process.
        """
        left = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if left is None:
            return None
        return left.si_status if left.si_code == os.CLD_EXITED else -left.si_status

    def _signal(self, number: signal.Signals) -> None:
        # Also when the program itself has ended: what it started is in its group and may live.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _copy(self, log: Log, on_line: Callable[[str], None] | None) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while line := stream.readline(_LONGEST_LINE):
                text = _COLOURS.sub("", line.decode("utf-8", "replace")).rstrip()
                log.write(f"{self.name}: {text}")
                if on_line is not None:
                    on_line(text)
