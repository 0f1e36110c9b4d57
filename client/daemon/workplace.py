"""The process that trains, as its daemon sees it: started with the approved code, asked, watched, ended."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

from client.daemon.environments import worker_environment
from client.frames import (
    DisconnectedError,
    FrameError,
    asked_frame,
    read_answered_frame,
    receive_frame,
    send_frame,
)
from client.message import Answered, Asked
from hqgnet.child import Child, Log

# Python's own start; torch and monai are loaded after the worker's first word.
_START_S = 120.0
_END_S = 2.0


class WorkerEndedError(Exception):
    """The worker ended, or was never what it should be."""


class OverdueError(Exception):
    """The worker did not answer in time; it has been killed."""


class Workplace:
    """Holds at most one worker. To be used by one thread, which has to live as long as the worker.

    Args:
        file: The site's YAML.
        folder: Where workers run.
        log: For what they write.
    """

    def __init__(self, file: Path, folder: Path, log: Log) -> None:
        self._file, self._folder, self._log = file, folder, log
        self._worker: Child | None = None
        self._channel: socket.socket | None = None
        self._code: Path | None = None

    @property
    def busy_with(self) -> Path | None:
        """Folder of the code that the living worker runs; None where there is no worker."""
        return self._code

    def ask(self, code: Path, asked: Asked, limit_s: float) -> Answered:
        """Have something done by the approved code.

        A worker of the same code that is there is used again; one of other code is ended first.

        Args:
            code: Folder of the code.
            asked: What to do.
            limit_s: How long it may take; a worker that takes longer is killed.

        Raises:
            OverdueError: If it took longer.
            WorkerEndedError: If the worker ended without an answer.
        """
        if self._code != code or self._worker is None or not self._worker.running:
            self.end()
            self._start(code)
        assert self._channel is not None
        deadline = time.monotonic() + limit_s
        try:
            send_frame(self._channel, asked_frame(asked), deadline=deadline)
            return read_answered_frame(receive_frame(self._channel, deadline=deadline))
        except TimeoutError as error:
            self.kill()
            self.end()
            raise OverdueError(f"no answer within {limit_s:.0f} s") from error
        except FrameError as error:
            told = self._told(error)
            self.end()
            raise WorkerEndedError(told) from error

    def kill(self) -> None:
        """Kill the worker and all that it has started, from any thread; :meth:`ask` then raises."""
        if (worker := self._worker) is not None:
            worker.end()

    def end(self) -> None:
        """End the worker, if there is one; between two messages nothing is lost."""
        if self._channel is not None:
            self._channel.close()
        if self._worker is not None:
            self._worker.end()
        self._worker = self._channel = self._code = None

    def _start(self, code: Path) -> None:
        ours, theirs = socket.socketpair()
        command = [
            *(sys.executable, "-P", "-m", "client.worker"),
            *(str(self._file), str(theirs.fileno())),
        ]
        with theirs:
            self._worker = Child(
                "worker",
                command,
                worker_environment(code),
                self._folder,
                self._log,
                death=signal.SIGKILL,
                descriptors=[theirs.fileno()],
            )
        self._channel, self._code = ours, code
        try:
            hello = receive_frame(ours, deadline=time.monotonic() + _START_S).head
        except (FrameError, TimeoutError) as error:
            told = self._told(error)
            self.end()
            raise WorkerEndedError(f"it did not start: {told}") from error
        client = Path(str(hello.get("client"))).resolve()
        if not client.is_relative_to(code.resolve()):
            self.end()
            raise WorkerEndedError(f"it runs {client}, which is not of the approved code in {code}")

    def _told(self, error: Exception) -> str:
        if self._worker is None or not isinstance(error, DisconnectedError):
            return f"the worker gave no answer: {error}"
        # It has let go of the socket, and is about to end.
        self._worker.wait(_END_S)
        return f"the worker {self._worker.end_told}"
