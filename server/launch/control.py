"""What we ask of a SuperLink, through Flower's own command ``flwr``: typed answers, a time limit on each.

Whoever reaches the SuperLink's Control interface may run code at every hospital. It is asked here over
loopback or over the address that ``server.host`` names, always by TLS with the federation's own authority.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgnet.errors import ConfigurationError, Problem, RunFailedError, ServerDownError
from hqgnet.files import make_folder, write_atomically
from server.federation import Federation
from server.flower_app import Setting, settings_toml
from server.flower_environment import environment, executable
from server.launch.addresses import local_address

_CONNECTION = "hqgnet"
_LIMIT_S = 60.0
# What the command says when nothing answers; a refusal by the SuperLink reads otherwise.
_UNREACHABLE = ("unavailable", "unreachable", "could not connect", "connection")


@dataclass(frozen=True)
class FlowerRun:
    """A run as Flower sees it.

    Attributes:
        identifier: Flower's.
        status: ``pending``, ``starting``, ``running``, or ``finished:completed|failed|stopped``.
        seconds: Since it was submitted, until it ended.
    """

    identifier: int
    status: str
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.status.startswith("finished")


class FlowerControl:
    """Asks the SuperLink of one federation.

    Args:
        federation: Its file; each question raises a ConfigurationError if it has not been provisioned.
        limit_s: How long one question may take, in seconds.
    """

    def __init__(self, federation: Federation, limit_s: float = _LIMIT_S) -> None:
        self._home = federation.flower_home
        self._authority = federation.ca_certificate
        self._limit_s = limit_s
        address, ca = local_address(federation), str(self._authority)
        connection = settings_toml({"address": address, "root-certificates": ca})
        self._config = (
            f'[superlink]\ndefault = "{_CONNECTION}"\n\n[superlink.{_CONNECTION}]\n{connection}'.encode()
        )

    def submit(self, app: Path, settings: Mapping[str, Setting]) -> int:
        """Submit a run; return its identifier.

        Args:
            app: The app's folder; ``flwr run`` builds the bundle from it.
            settings: The run configuration.

        Raises:
            ServerDownError: If the SuperLink does not answer.
            RunFailedError: If it refuses.
        """
        make_folder(self._home)
        file = self._home / "run.toml"
        write_atomically(file, settings_toml(settings).encode())
        answer = self._ask(["run", str(app), _CONNECTION, "--run-config", str(file)])
        return int(answer["run-id"])

    def runs(self) -> list[FlowerRun]:
        """Return all runs that the SuperLink knows, the oldest first.

        Being asked, it also drops the messages of those that have finished.

        Raises:
            ServerDownError: If the SuperLink does not answer.
        """
        return [_run(row) for row in self._ask(["list", _CONNECTION])["runs"]]

    def run(self, identifier: int) -> FlowerRun:
        """Return one run.

        Raises:
            ServerDownError: If the SuperLink does not answer.
            RunFailedError: If it does not know the run.
        """
        return _run(self._ask(["list", _CONNECTION, "--run-id", str(identifier)])["runs"][0])

    def stop(self, identifier: int) -> None:
        """Stop a run: its ServerApp ends within seconds, sites after the work they have begun.

        Raises:
            ServerDownError: If the SuperLink does not answer.
            RunFailedError: If it refuses, for example because the run is over.
        """
        self._ask(["stop", str(identifier), _CONNECTION])

    def register(self, public_key: Path, name: str) -> int:
        """Let a site in; return its node's identifier.

        Args:
            public_key: In OpenSSH's format.
            name: Of the site.

        Raises:
            ServerDownError: If the SuperLink does not answer.
            RunFailedError: If it refuses, for example because the key was registered before.
        """
        answer = self._ask(["supernode", "register", str(public_key), _CONNECTION, "--name", name])
        return int(answer["node-id"])

    def unregister(self, node: int) -> None:
        """Shut a site out, at once; a key that was unregistered is never taken again.

        Raises:
            ServerDownError: If the SuperLink does not answer.
            RunFailedError: If it does not know the node.
        """
        self._ask(["supernode", "unregister", str(node), _CONNECTION])

    def _ask(self, arguments: Sequence[str]) -> dict[str, Any]:
        if not self._authority.is_file():
            remedy = "Run `hqgnet-server provision FEDERATION.yaml --out KITS`"
            raise ConfigurationError(Problem(str(self._authority), "is missing", remedy))
        self._write_connection()
        command = [executable("flwr"), *arguments, "--format", "json"]
        what = f"flwr {' '.join(arguments[: 2 if arguments[0] == 'supernode' else 1])}"
        try:
            asked = subprocess.run(
                command,
                cwd=self._home,
                env=environment(self._home),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _down(f"did not answer {what} within {self._limit_s:g} s") from error
        return parse_answer(what, asked.stdout, asked.stderr)

    def _write_connection(self) -> None:
        make_folder(self._home)
        file = self._home / "config.toml"
        if not file.exists() or file.read_bytes() != self._config:
            write_atomically(file, self._config)


def parse_answer(question: str, output: str, errors: str) -> dict[str, Any]:
    """Return what ``flwr`` answered in JSON.

    Args:
        question: Said in errors.
        output: Its standard output.
        errors: Its standard error, told when there is no answer.

    Raises:
        ServerDownError: If the SuperLink could not be reached.
        RunFailedError: If the SuperLink refused.
        ConfigurationError: If the command itself did not work.
    """
    start = output.find("{")
    try:
        answer = json.loads(output[start:]) if start >= 0 else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        said = " ".join((errors or output).split())[-400:]
        remedy = "Check that flwr 1.41.0 is installed in this environment"
        raise ConfigurationError(Problem(question, f"gave no answer that can be read ({said})", remedy))
    if answer.get("success"):
        return answer
    said = " ".join(str(answer.get("error-message", "no reason given")).split())
    if any(word in said.lower() for word in _UNREACHABLE):
        raise _down(f"does not answer {question}")
    raise RunFailedError(Problem(question, f"was refused: {said}", "Look at logs/superlink.log"))


def _down(what: str) -> ServerDownError:
    return ServerDownError(Problem("SuperLink", what, "Start it: hqgnet-server up FEDERATION.yaml"))


def _run(row: Mapping[str, Any]) -> FlowerRun:
    return FlowerRun(int(row["run-id"]), str(row["status"]), float(row["elapsed"]))
