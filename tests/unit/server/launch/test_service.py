"""``hqgnet-server up`` for real: a SuperLink with TLS on loopback, killed and brought back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.cli import main
from server.federation import Federation, load_federation
from server.launch.control import FlowerControl
from server.launch.database import LinkDatabase
from server.launch.health import answers, health
from server.launch.registration import canonical_key, registered_name, registered_sites
from server.launch.service import running_service, service_file
from server.provision.site_index import active_keys

ROOT = Path(__file__).parents[4]
pytestmark = pytest.mark.e2e


def until(condition: Callable[[], bool], limit_s: float = 90.0) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit_s
        time.sleep(0.1)


def processes_of(federation: Federation) -> dict[str, int]:
    """Return the running programs of this federation's home, by name."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            theirs = f"FLWR_HOME={federation.flower_home}".encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if theirs and len(words) > 1:
            found[Path(words[1].decode()).name] = int(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_the_servers_life(
    federation: Federation, federation_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "server.cli", "up", str(federation_file)]
    log = federation_file.with_name("up.log")

    def start() -> subprocess.Popen[bytes]:
        with log.open("wb") as stream:
            started = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)
        until(lambda: b"ready: " in log.read_bytes() or started.poll() is not None)
        assert started.poll() is None, log.read_text()
        return started

    server = start()
    try:
        port, health_port = federation.server.port, federation.server.health_port
        ready = f"ready: 127.0.0.1:{port}, health 127.0.0.1:{health_port}, 2 sites registered"
        assert ready in log.read_text()
        assert answers(federation) and health(federation) == "SERVING"
        assert main(["status", str(federation_file)]) == 0
        assert "0 of 2 online" in capsys.readouterr().out
        # Only one at a time.
        assert main(["up", str(federation_file)]) == 10
        assert "its server runs already" in capsys.readouterr().err
        # No run: nothing to stop, none to list.
        assert main(["stop", str(federation_file)]) == 0
        assert FlowerControl(federation).runs() == []

        # The SuperLink dies; it is back by itself, and knows its sites.
        before = {name: node.identifier for name, node in registered_sites(federation).items()}
        assert {name: registered_name(federation_file, node) for name, node in before.items()} == {
            "site-1": "site-1",
            "site-2": "site-2",
        }
        assert registered_name(federation_file, 1) is None
        os.kill(processes_of(federation)["flower-superlink"], signal.SIGKILL)
        until(lambda: "superlink started again" in log.read_text())
        until(lambda: answers(federation))
        assert {name: node.identifier for name, node in registered_sites(federation).items()} == before

        # A site's key is withdrawn while all runs: the SuperLink shuts it out by itself.
        withdrawn = canonical_key(active_keys(federation)["site-2"])
        assert main(["revoke", str(federation_file), "site-2"]) == 0
        until(lambda: "unregistered" in log.read_text())
        nodes = {node.public_key: node.status for node in LinkDatabase(federation.database).nodes()}
        assert nodes[withdrawn] == "unregistered"
        assert set(registered_sites(load_federation(federation_file))) == {"site-1"}
        assert registered_name(federation_file, before["site-2"]) is None

        # An orderly end is quick, and takes all along.
        server.terminate()
        begun = time.monotonic()
        assert server.wait(30) == 0
        assert time.monotonic() - begun < 20
        assert not processes_of(federation)

        # So does one by force.
        server = start()
        assert "registered: " not in log.read_text() and ", 1 sites registered" in log.read_text()
        assert running_service(federation) is not None
        server.kill()
        server.wait()
        until(lambda: not processes_of(federation), 15)
        # It could not take its word back; nobody believes it.
        assert service_file(federation).exists() and running_service(federation) is None
    finally:
        server.kill()
        server.wait()
