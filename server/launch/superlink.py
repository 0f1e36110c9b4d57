"""How Flower's two server programs are started: the SuperLink, and the SuperExec that starts ServerApps."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

from hqgnet.files import make_folder, write_atomically
from server.federation import Federation
from server.flower_environment import environment, executable
from server.launch.addresses import local_address
from server.launch.kept_running import KeptRunning

# The SuperExec looks for a submitted run so often, in seconds.
_POLL_S = "0.5"


def superlink(federation: Federation) -> KeptRunning:
    """Return the SuperLink: TLS, registered nodes only, and a ServerApp that survives its end."""
    server = federation.server
    command = [
        executable("flower-superlink"),
        *("--host", server.host, "--port", str(server.port)),
        *("--ssl-ca-certfile", str(federation.ca_certificate)),
        *("--ssl-certfile", str(federation.server_certificate)),
        *("--ssl-keyfile", str(federation.server_key)),
        "--enable-supernode-auth",
        # With the ServerApp in a process of another's, a run outlives the SuperLink.
        *("--isolation", "process"),
        *("--superexec-auth-secret-file", str(federation.superexec_secret)),
        *("--database", str(federation.database)),
        *("--health-server-address", f"127.0.0.1:{server.health_port}"),
        "--disable-runtime-dependency-installation",
    ]
    return _child("superlink", command, federation)


def superexec(federation: Federation) -> KeptRunning:
    """Return the SuperExec, which starts a ``flwr-serverapp`` a run; these end when this process does."""
    command = [
        executable("flower-superexec"),
        *("--runtime-api-address", local_address(federation)),
        *("--root-certificates", str(federation.ca_certificate)),
        *("--superexec-auth-secret-file", str(federation.superexec_secret)),
    ]
    child = _child("superexec", command, federation)
    path = f"{_launcher(federation).parent}{os.pathsep}{child.environment['PATH']}"
    return replace(child, environment={**child.environment, "PATH": path})


def serverapp_log(federation: Federation) -> Path:
    """Return where ServerApps write: their progress, and why one failed unexpectedly."""
    return federation.logs / "serverapp.log"


def _launcher(federation: Federation) -> Path:
    """Write what the SuperExec finds as ``flwr-serverapp``: the real one, with a log, and watching us.

    The SuperExec would throw its output away. And it would take the run along when it ends itself: of two
    parents named, the last is watched, and that is this process, which starts the SuperExec again.
    """
    folder = federation.flower_home / "bin"
    make_folder(folder)
    program, log = shlex.quote(executable("flwr-serverapp")), shlex.quote(str(serverapp_log(federation)))
    script = f'#!/bin/sh\nexec {program} "$@" --parent-pid {os.getpid()} >>{log} 2>&1\n'
    write_atomically(folder / "flwr-serverapp", script.encode(), mode=0o700)
    return folder / "flwr-serverapp"


def _child(name: str, command: list[str], federation: Federation) -> KeptRunning:
    surroundings = environment(federation.flower_home) | {
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": _POLL_S,
        "PYTHONUNBUFFERED": "1",
    }
    return KeptRunning(name, command, surroundings, federation.home, federation.logs / f"{name}.log")
