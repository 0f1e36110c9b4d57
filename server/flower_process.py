"""Flower's local processes for one simulation: an own home, loopback only, and always ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from hqgnet.errors import Problem, RunFailedError
from hqgnet.tied import tied
from server.flower_app import Setting, app_project, settings_toml
from server.flower_environment import environment, executable, free_port

_HEALTHY_S = 60.0
_POLL_S = 0.05
_END_S = 15.0
_LONGEST_TEMPORARY = 24
_CONNECTION = "hqgnet"


class LocalFlower:
    """A SuperLink in simulation mode, as a context manager: whatever happens, its processes end with it.

    Args:
        logs: Folder for what the processes write; must exist.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._home = Path()
        self._port = 0
        self._superlink: subprocess.Popen[bytes] | None = None
        self._stream: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalFlower:
        """Start the SuperLink; :meth:`run` waits until it is ready."""
        self._home = Path(tempfile.mkdtemp(prefix="hqgnet-", dir=_short_folder()))
        self._port = free_port()
        app = self._home / "app"
        app.mkdir()
        (app / "pyproject.toml").write_text(app_project("hqgnet-simulation", "1.0.0"), encoding="utf-8")
        connection = f'[superlink.{_CONNECTION}]\naddress = "127.0.0.1:{self._port}"\ninsecure = true\n'
        settings = f'[superlink]\ndefault = "{_CONNECTION}"\n\n{connection}'
        (self._home / "config.toml").write_text(settings, encoding="utf-8")
        command = [
            *(executable("flower-superlink"), "--insecure", "--simulation", "--isolation", "subprocess"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            "--disable-runtime-dependency-installation",
        ]
        with (self._logs / "superlink.log").open("wb") as log:
            self._superlink = subprocess.Popen(
                tied(command, signal.SIGKILL),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        return self

    def run(self, sites: int, resources: Mapping[str, float], settings: Mapping[str, Setting]) -> None:
        """Submit the run; its log goes to ``flower.log`` from now on.

        Args:
            sites: Simulated nodes.
            resources: Flower's federation configuration, for example ``client-resources-num-gpus``.
            settings: The run configuration.

        Raises:
            RunFailedError: If the SuperLink does not come up.
        """
        self._wait_until_healthy()
        federation = " ".join(
            f"{name}={value}" for name, value in {"num-supernodes": sites, **resources}.items()
        )
        run_config = self._home / "run.toml"
        run_config.write_text(settings_toml(settings), encoding="utf-8")
        command = [executable("flwr"), "run", str(self._home / "app"), _CONNECTION, "--stream"]
        command += ["--federation-config", federation, "--run-config", str(run_config)]
        with (self._logs / "flower.log").open("wb") as log:
            self._stream = subprocess.Popen(
                tied(command),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self._home,
            )

    def ended(self) -> bool:
        """Return whether the run is over, as far as Flower goes (``flwr run`` itself does not say how)."""
        stream, superlink = self._stream, self._superlink
        return (
            stream is None or superlink is None or stream.poll() is not None or superlink.poll() is not None
        )

    def final_status(self) -> str:
        """Return Flower's word on the run, for example ``finished:failed``; ``unknown`` if it gives none."""
        match = re.search(rb"started run (\d+)", (self._logs / "flower.log").read_bytes())
        if match is None or self._superlink is None or self._superlink.poll() is not None:
            return "unknown"
        command = [
            executable("flwr"),
            "list",
            _CONNECTION,
            "--run-id",
            match[1].decode(),
            "--format",
            "json",
        ]
        try:
            listed = subprocess.run(
                command, capture_output=True, env=self._environment(), timeout=30, cwd=self._home, check=False
            )
            return str(json.loads(listed.stdout)["runs"][0]["status"])
        except (subprocess.TimeoutExpired, ValueError, LookupError):
            return "unknown"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes: politely, then by force; an impatient second Ctrl-C does not stop this."""
        previous = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            self._end()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _end(self) -> None:
        for process in (self._stream, self._superlink):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        if self._superlink is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._superlink.wait(_END_S)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._superlink.pid, signal.SIGKILL)
            self._superlink.wait()
        if self._stream is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._stream.wait(_END_S)
            self._stream.kill()
            self._stream.wait()
        # Flower puts the simulation into a session of its own, and it may still be starting Ray.
        begun = time.monotonic()
        while (left := _processes_of(self._home)) and time.monotonic() - begun < _END_S:
            for process_id in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process_id, signal.SIGKILL)
            time.sleep(_POLL_S)
        shutil.rmtree(self._home, ignore_errors=True)

    def _wait_until_healthy(self) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < _HEALTHY_S:
            if self._superlink is None or self._superlink.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(_POLL_S)
        remedy = f"Its log is {self._logs / 'superlink.log'}"
        raise RunFailedError(Problem("flower-superlink", "did not start", remedy))

    def _environment(self) -> dict[str, str]:
        return environment(self._home) | {
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
            "RAY_TMPDIR": str(self._home),
            "RAY_DEDUP_LOGS": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Without clusters Ray binds its ports to loopback, on Linux as on other systems.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }


def _processes_of(home: Path) -> list[int]:
    """Return the processes whose environment names this home (none where there is no ``/proc``)."""
    marker = f"FLWR_HOME={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _short_folder() -> str:
    """Return where to put the home: paths of Ray's sockets below it have to stay under 107 characters."""
    system = tempfile.gettempdir()
    return "/tmp" if len(system) > _LONGEST_TEMPORARY and os.access("/tmp", os.W_OK) else system  # noqa: S108
