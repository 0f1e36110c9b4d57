"""The site's node in the federation: Flower's SuperNode and SuperExec as a pair, restarted when one ends."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections import deque
from pathlib import Path

from client.daemon.environments import courier_environment, flower_program, node_environment
from client.daemon.loopback import Loopback, make_loopback
from client.daemon.reasons import is_found_again, is_lost, is_message_lost, node_id, reason_of
from client.daemon.status import StatusFile
from hqgnet.child import Child, Log
from hqgnet.data.site_server import ServerConnection
from hqgnet.files import make_folder, write_atomically

LOGGER = logging.getLogger("hqgnet.daemon")

_LINES_KEPT = 60
# Flower's SuperExec starts the program of this name for a message; the others a server might call for.
_COURIER = "flwr-clientapp"
_REFUSED = ("flwr-serverapp", "flwr-simulation", "flwr-agentapp", "flwr-model", "flwr-connector")


class Node:
    """Keeps the pair running. The SuperNode talks to the server; the SuperExec starts a courier a message.

    They are started and ended together, each time with another port, certificate and secret on loopback.

    Args:
        server: Whom to join.
        work: The site's work folder.
        private: The daemon's own folder, for keys.
        socket: Where the daemon listens for couriers.
        status: Learns the state of the connection.
    """

    def __init__(
        self, server: ServerConnection, work: Path, private: Path, socket: Path, status: StatusFile
    ) -> None:
        self._server, self._work, self._private, self._status = server, work, private, status
        self._programs = {name: flower_program(name) for name in ("flower-supernode", "flower-superexec")}
        self._home = work / "flower"
        self._courier_folder = self._home / "bin"
        self._log = Log(work / "supernode.log")
        self._pair: tuple[Child, ...] = ()
        self._due: float | None = 0.0
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._message_lost = False
        _write_programs(self._courier_folder, socket)

    def tend(self) -> None:
        """Start the pair when it is time; end both when one has ended. From the thread that lives longest."""
        if self._due is not None:
            if time.monotonic() >= self._due:
                self._start()
            return
        ended = [child for child in self._pair if not child.running]
        if ended or self._message_lost:
            told = f"{ended[0].name} {ended[0].end_told}" if ended else "a message was lost on its way"
            for child in ended:
                child.end()  # its last words are read; those of the other would be about our ending it
            reason = reason_of(self._lines) or f"its last words are in {self._log.path}"
            self.end()
            pause = self._server.reconnect_pause_s
            LOGGER.warning("%s (%s); started again in %g s", told, reason, pause)
            self._status.update(connection="pausing", reason=reason)
            self._due = time.monotonic() + pause

    def ask_to_end(self) -> None:
        """Ask the pair to end."""
        for child in self._pair:
            child.ask_to_end()

    def end(self, patience_s: float = 8.0) -> None:
        """End the pair, politely first: the server then knows at once that the node is gone."""
        self.ask_to_end()
        until = time.monotonic() + patience_s
        for child in self._pair:
            child.end(max(0.0, until - time.monotonic()))
        self._pair = ()

    def _start(self) -> None:
        self._due = None
        self._lines.clear()
        self._message_lost = False
        self._status.update(connection="connecting", reason=None, node=None)
        loopback = make_loopback(self._private)
        supernode = Child(
            "supernode",
            [*self._programs["flower-supernode"], *_supernode_arguments(self._server, loopback)],
            node_environment(self._home),
            self._work,
            self._log,
            on_line=self._see,
        )
        superexec = Child(
            "superexec",
            [*self._programs["flower-superexec"], *_superexec_arguments(loopback)],
            courier_environment(self._home, self._courier_folder),
            self._work,
            self._log,
        )
        self._pair = (supernode, superexec)

    def _see(self, line: str) -> None:
        self._lines.append(line)
        if (number := node_id(line)) is not None:
            LOGGER.info("connected to %s as node %s", self._server.address, number)
            self._status.update(connection="connected", node=number)
        elif is_message_lost(line):
            # Flower does not try again, and the server would wait until the round's deadline. That the node
            # goes tells it at once.
            self._message_lost = True
        elif is_lost(line):
            if self._status.get("connection") != "unreachable":
                LOGGER.warning("%s cannot be reached; tried again and again", self._server.address)
                self._status.update(connection="unreachable")
        elif is_found_again(line):
            LOGGER.info("%s is reached again", self._server.address)
            self._status.update(connection="connected" if self._status.get("node") else "connecting")


def _supernode_arguments(server: ServerConnection, loopback: Loopback) -> list[str]:
    host, port = loopback.address.split(":")
    return [
        *("--superlink", server.address),
        *("--root-certificates", str(server.ca)),
        *("--auth-supernode-private-key", str(server.key)),
        *("--isolation", "process"),
        *("--host", host, "--port", port),
        *("--ssl-ca-certfile", str(loopback.certificate)),
        *("--ssl-certfile", str(loopback.certificate)),
        *("--ssl-keyfile", str(loopback.key)),
        *("--superexec-auth-secret-file", str(loopback.secret)),
    ]


def _superexec_arguments(loopback: Loopback) -> list[str]:
    return [
        *("--runtime-api-address", loopback.address),
        *("--root-certificates", str(loopback.certificate)),
        *("--superexec-auth-secret-file", str(loopback.secret)),
    ]


def _write_programs(folder: Path, socket: Path) -> None:
    """Write the programs that the SuperExec finds: the courier, and for all other work a refusal."""
    make_folder(folder)
    folder.chmod(0o700)
    # -P: no folder that happens to be the working one may lend its modules.
    command = shlex.join([sys.executable, "-P", "-m", "client.courier", str(socket)])
    scripts = {_COURIER: f'#!/bin/sh\nexec {command} "$@"\n'}
    scripts |= dict.fromkeys(_REFUSED, "#!/bin/sh\necho 'a hospital runs no such work' >&2\nexit 1\n")
    for name, script in scripts.items():
        write_atomically(folder / name, script.encode(), mode=0o700)
