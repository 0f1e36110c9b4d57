"""The server as a service: ``hqgnet-server up`` keeps the SuperLink running, and sites registered with it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from hqgnet.errors import ConfigurationError, HqgnetError, Problem, RunFailedError
from hqgnet.files import make_folder, write_atomically
from server.federation import Federation, load_federation
from server.launch.addresses import is_loopback, local_address, local_host
from server.launch.checks import check_provisioned
from server.launch.control import FlowerControl
from server.launch.database import LinkDatabase
from server.launch.health import answers
from server.launch.kept_running import limit_log
from server.launch.registration import register_sites
from server.launch.superlink import serverapp_log, superexec, superlink

Say = Callable[[str], None]
_POLL_S = 0.25
_READY_S = 90.0
_UPKEEP_S = 30.0
# All in all an orderly end stays below 20 s, what service managers give by default or more.
_END_S = 8.0
_REGISTER_AGAIN_S = 15.0


class _Stop(BaseException):
    """SIGTERM or Ctrl-C: not an error, and nothing on the way may swallow it."""


class Service:
    """One federation's server.

    Args:
        path: Federation YAML; read again whenever sites were provisioned.
        say: Takes each line that an operator should see.
    """

    def __init__(self, path: Path, say: Say) -> None:
        self._path = path
        self._say = say
        self._federation = load_federation(path)
        self._database = LinkDatabase(self._federation.database)
        self._seen: tuple[int, ...] = ()
        self._try_again = 0.0
        self._had_run = False
        self._next_upkeep = 0.0

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C.

        Raises:
            ConfigurationError: If provisioning is missing or expired, or the server runs already.
            RunFailedError: If the SuperLink does not start.
        """
        federation = self._federation
        warnings = check_provisioned(federation)
        with _only_one(federation), _signals():
            self._link, self._executor = superlink(federation), superexec(federation)
            try:
                for warning in warnings:
                    self._say(f"warning: {warning}")
                self._start()
                while True:
                    self._tend()
                    time.sleep(_POLL_S)
            except _Stop:
                self._say("ending")
            finally:
                self._end()
        self._say("ended")

    def _start(self) -> None:
        federation = self._federation
        if not is_loopback(federation):
            self._say(
                f"warning: {federation.server.host} is reached from other machines, and whoever reaches "
                f"port {federation.server.port} can run code at every hospital: let nothing but a proxy for "
                "/v1/fleet/ through to it (deploy/nginx)"
            )
        _check_port(federation)
        self._clean(stopped=True)
        self._link.start()
        self._wait_until_ready()
        self._executor.start()
        count = self._register()
        health = f"127.0.0.1:{federation.server.health_port}"
        self._say(f"ready: {local_address(federation)}, health {health}, {count} sites registered")

    def _wait_until_ready(self) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < _READY_S:
            if self._link.process_id is None:
                break
            if answers(self._federation):
                return
            time.sleep(_POLL_S)
        raise RunFailedError(Problem("superlink", "did not start", f"Its log is {self._link.log}"))

    def _tend(self) -> None:
        for child in (self._link, self._executor):
            line = child.tend()
            if line:
                self._say(line)
                with self._told():
                    self._note()
        now = time.monotonic()
        if self._changes() != self._seen and now >= self._try_again:
            self._try_again = now + _REGISTER_AGAIN_S
            with self._told():
                self._federation = load_federation(self._path)
                self._register()
        if now >= self._next_upkeep:
            self._next_upkeep = now + _UPKEEP_S
            with self._told():
                limit_log(serverapp_log(self._federation))
                self._clean(stopped=False)

    def _register(self) -> int:
        seen = self._changes()
        registration = register_sites(self._federation, FlowerControl(self._federation))
        self._seen = seen
        for line in registration.lines:
            self._say(line)
        self._note()
        return len(registration.sites)

    def _changes(self) -> tuple[int, ...]:
        """Return when the files last changed; 0 for one that is not there, be it for the moment."""
        return tuple(_changed(file) for file in (self._path, self._federation.sites_index))

    def _clean(self, *, stopped: bool) -> None:
        """Make the database small again: all of it while the SuperLink is stopped, else after each run."""
        self._next_upkeep = time.monotonic() + _UPKEEP_S
        try:
            if stopped:
                self._database.drop_finished_runs()
            else:
                running = self._database.has_unfinished_run()
                due, self._had_run = self._had_run and not running, running
                if not due:
                    return
                # Being asked for its runs, the SuperLink itself drops what finished ones have left.
                with self._told():
                    FlowerControl(self._federation).runs()
            freed = self._database.compact()
        except sqlite3.Error as error:
            self._say(f"warning: {self._federation.database} could not be cleaned ({error})")
            return
        if freed:
            self._say(f"database: {freed / 2**20:.0f} MiB given back")

    def _note(self) -> None:
        """Write down what ``hqgnet-server status`` tells of us."""
        facts = {"pid": os.getpid(), "superlink_starts": self._link.starts}
        write_atomically(service_file(self._federation), (json.dumps(facts) + "\n").encode())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell an error and go on: what fails now is tried again later."""
        try:
            yield
        except HqgnetError as error:
            for problem in error.problems:
                self._say(f"warning: {problem}")
        except (OSError, sqlite3.Error) as error:
            self._say(f"warning: {type(error).__name__}: {error}")

    def _end(self) -> None:
        # Sites and ServerApp first: they may still tell the SuperLink how they ended.
        for child in (self._executor, self._link):
            child.end(_END_S)
        service_file(self._federation).unlink(missing_ok=True)


def running_service(federation: Federation) -> dict[str, Any] | None:
    """Return what ``up`` says of itself; None if it does not run, though it may have left its word behind."""
    try:
        facts: dict[str, Any] = json.loads(service_file(federation).read_text(encoding="utf-8"))
        # A signal of number 0 is not sent; it tells whether there is such a process.
        os.kill(facts["pid"], 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    except PermissionError:
        pass
    return facts


def service_file(federation: Federation) -> Path:
    """Return where a running server tells of itself."""
    return federation.database.parent / "up.json"


@contextlib.contextmanager
def _only_one(federation: Federation) -> Iterator[None]:
    for folder in (federation.database.parent, federation.logs, federation.flower_home, federation.runs):
        make_folder(folder)
    with (federation.database.parent / "up.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what, remedy = "its server runs already", "See `hqgnet-server status`, or end that one first"
            raise ConfigurationError(Problem(str(federation.home), what, remedy)) from error
        yield


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        # Once: an impatient second signal must not stop the orderly end.
        if not stopping:
            stopping = True
            raise _Stop

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_port(federation: Federation) -> None:
    for host, port, key in (
        (local_host(federation), federation.server.port, "port"),
        ("127.0.0.1", federation.server.health_port, "health_port"),
    ):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            what = f"port {port} is in use by another program"
            remedy = "End that program, or give another port"
            raise ConfigurationError(Problem(f"server.{key}", what, remedy))


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
