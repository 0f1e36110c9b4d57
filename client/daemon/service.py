"""The daemon as a whole: what ``hqgnet-client up`` runs until it is told to end."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import stat
import sys
import threading
from pathlib import Path
from types import FrameType

from client.audit import site_audit
from client.daemon.desk import Desk
from client.daemon.environments import FLOWER
from client.daemon.lock import SiteLock
from client.daemon.node import Node
from client.daemon.reception import Reception
from client.daemon.status import StatusFile
from client.daemon.workplace import Workplace
from client.message import Asked
from hqgnet import __version__
from hqgnet.child import Log
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.data.site_server import ServerConnection
from hqgnet.errors import ConfigurationError, HqgnetError, Problem
from hqgnet.files import make_folder

LOGGER = logging.getLogger("hqgnet.daemon")

_TEND_S = 0.5


def run_daemon(file: Path, idle_s: float) -> None:
    """Keep a site in its federation until SIGTERM or Ctrl-C.

    From here on all that this process and those that it starts write is their user's alone.

    Args:
        file: The site's YAML.
        idle_s: Ends a worker that had nothing to do for so long.

    Raises:
        ConfigurationError: If the YAML, the key or the certificate cannot be used, naming every mistake.
        OutputError: If the work folder cannot be written, or another daemon has it.
        KeyboardInterrupt: After an orderly end, if it was Ctrl-C.
    """
    file = file.absolute()
    config = load_site_config(file)
    server = check_server(file, config)
    os.umask(0o077)
    make_folder(config.work)
    ending = _EndingSignals()
    with SiteLock(config.work) as lock:
        _log_to_stdout()
        status = StatusFile(
            config.work, site=config.name, server=server.address, connection="connecting", doing="idle"
        )
        worker_log = Log(config.work / "worker.log")
        desk = Desk(file, config.work, Workplace(file, config.work, worker_log), status, idle_s)
        reception = Reception(lock.socket, desk.answer, lambda asked: _note_undelivered(config.work, asked))
        node = Node(server, config.work, lock.folder, lock.socket, status)
        LOGGER.info("hqgnet %s: site %s joins %s", __version__, config.name, server.address)
        desk.start()
        reception.start()
        try:
            while not ending.wait(_TEND_S):
                node.tend()
        finally:
            LOGGER.info("ending")
            reception.close()
            node.ask_to_end()
            desk.end()
            node.end()
            status.update(connection="ended", doing="idle")
            LOGGER.info("ended")
    if ending.number is signal.SIGINT:
        raise KeyboardInterrupt


def check_server(file: Path, config: SiteConfig) -> ServerConnection:
    """Return whom the site joins, when all that it needs for it is in order.

    Raises:
        ConfigurationError: Naming every mistake.
    """
    if config.server is None:
        remedy = "Take the section from the site.yaml in the kit that the federation gave out"
        raise ConfigurationError(Problem(f"{file}: server", "is missing: there is no one to join", remedy))
    problems = []
    for key, path in (("ca", config.server.ca), ("key", config.server.key)):
        try:
            mode = path.stat().st_mode
            path.open("rb").close()
        except OSError as error:
            what = f"{path} cannot be read ({error.strerror or error})"
            problems.append(Problem(f"{file}: server.{key}", what, "Put the kit's file there"))
            continue
        if key == "key" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            what = f"{path} can be read by other users (mode {stat.S_IMODE(mode):04o})"
            problems.append(Problem(f"{file}: server.key", what, f"chmod 600 {path}"))
    installed = importlib.metadata.version("flwr")
    if installed != FLOWER:
        problems.append(Problem("flwr", f"is {installed}, not {FLOWER}", f"pip install flwr=={FLOWER}"))
    if problems:
        raise ConfigurationError(problems)
    return config.server


class _EndingSignals:
    """Waits for SIGTERM and SIGINT; a second one does not cut off the orderly end."""

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def wait(self, seconds: float) -> bool:
        """Return whether one came within so many seconds."""
        return self._event.wait(seconds)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number is None:
            self.number = signal.Signals(number)
        self._event.set()


def _log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("hqgnet")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _note_undelivered(work: Path, asked: Asked) -> None:
    try:
        site_audit(work).append("undelivered", kind=asked.kind)
    except HqgnetError as error:
        LOGGER.error("%s", error)
