"""The pair of Flower's programs: started again with a pause, and what their words mean."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND

from client.daemon import node as node_module
from client.daemon.environments import courier_environment, worker_environment
from client.daemon.loopback import make_loopback
from client.daemon.node import Node
from client.daemon.reasons import reason_of
from client.daemon.status import StatusFile
from hqgnet.data.site_server import ServerConnection

ROOT = Path(__file__).parents[4]
PAUSE_S = 0.6
# As Flower says it: the code is told in its output, the program's own is 1.
REFUSED = """#!/bin/sh
date +%s.%N >> {starts}
printf '\\033[91mERROR \\033[0m:      Exit Code: 305\\nFailed to initialize the connection\\n'
exit 1
"""
CONNECTED = """#!/bin/sh
date +%s.%N >> {starts}
echo "$@" > {starts}.arguments
echo 'INFO :      SuperNode ID: 4711'
sleep 600
"""
LOSES = """#!/bin/sh
date +%s.%N >> {starts}
trap 'echo ended >> {starts}.ends' TERM
echo "ERROR : Failed to send message ab12: Server error '500 Internal Server Error' for url"
sleep 600
"""
WAITING = """#!/bin/sh
/usr/bin/env > {starts}.environment
/bin/sleep 600
"""


class Bench:
    """A node whose two programs are scripts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, supernode: str) -> None:
        self.starts = folder / "starts"
        self.work, private = folder / "work", folder / "private"
        scripts = {"flower-supernode": supernode, "flower-superexec": WAITING}
        for made in (self.work, private, folder / "programs"):
            made.mkdir()
        for name, script in scripts.items():
            path = folder / "programs" / name
            path.write_text(script.format(starts=self.starts))
            path.chmod(0o755)
        monkeypatch.setattr(node_module, "flower_program", lambda name: [str(folder / "programs" / name)])
        self.server = ServerConnection(
            address="federation.example.org:8443",
            ca=folder / "ca.pem",
            key=folder / "site.key",
            reconnect_pause_s=PAUSE_S,
        )
        self.status = StatusFile(self.work)
        self.node = Node(self.server, self.work, private, folder / "socket", self.status)

    def started(self) -> list[float]:
        return [float(line) for line in self.starts.read_text().split()] if self.starts.exists() else []

    def tend_until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < until
            self.node.tend()
            time.sleep(0.02)


MakeBench = Callable[[str], Bench]


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(supernode: str) -> Bench:
        made.append(Bench(tmp_path, monkeypatch, supernode))
        return made[0]

    yield make
    for bench in made:
        bench.node.end(1.0)


def test_a_node_that_is_refused_is_started_again_after_a_pause(make_bench: MakeBench) -> None:
    bench = make_bench(REFUSED)
    bench.tend_until(lambda: len(bench.started()) == 3)
    begun = bench.started()
    assert all(later - earlier >= PAUSE_S for earlier, later in itertools.pairwise(begun))
    bench.tend_until(lambda: bench.status.get("connection") == "pausing")
    assert "not registered" in bench.status.get("reason")
    log = (bench.work / "supernode.log").read_text()
    assert "supernode: ERROR :      Exit Code: 305\n" in log  # without the colours


def test_a_node_that_is_killed_is_started_again_with_new_keys(make_bench: MakeBench) -> None:
    bench = make_bench(CONNECTED)
    bench.tend_until(lambda: bench.status.get("connection") == "connected")
    assert bench.status.get("node") == "4711"
    secret = bench.node._private / "superexec.bin"
    first, pair = secret.read_bytes(), bench.node._pair
    os.kill(pair[0].process_id, 9)
    bench.tend_until(lambda: len(bench.started()) == 2)
    assert secret.read_bytes() != first
    assert not any(child.running for child in pair)


def test_a_node_whose_message_is_lost_tells_the_server_by_going(make_bench: MakeBench) -> None:
    bench = make_bench(LOSES)
    bench.tend_until(lambda: bench.status.get("connection") == "pausing")
    assert "fault of its own" in bench.status.get("reason")
    # On a busy machine the shell comes to its trap a little later.
    bench.tend_until(Path(f"{bench.starts}.ends").exists)
    bench.tend_until(lambda: len(bench.started()) == 2)


def test_the_superexecs_end_is_the_pairs_end(make_bench: MakeBench) -> None:
    bench = make_bench(CONNECTED)
    bench.tend_until(lambda: bench.status.get("connection") == "connected")
    os.kill(bench.node._pair[1].process_id, 9)
    bench.tend_until(lambda: len(bench.started()) == 2)


def test_the_supernode_is_told_whom_to_trust_and_nothing_is_insecure(make_bench: MakeBench) -> None:
    bench = make_bench(CONNECTED)
    bench.tend_until(lambda: bench.status.get("connection") == "connected")
    words = Path(f"{bench.starts}.arguments").read_text().split()
    told = dict(zip(words[::2], words[1::2], strict=True))
    assert told["--superlink"] == "federation.example.org:8443"
    assert told["--root-certificates"] == str(bench.server.ca)
    assert told["--auth-supernode-private-key"] == str(bench.server.key)
    assert (told["--isolation"], told["--host"]) == ("process", "127.0.0.1")
    secret = Path(told["--superexec-auth-secret-file"])
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and len(secret.read_bytes()) == 32
    assert "--insecure" not in words


def test_only_the_courier_is_found_by_name(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    bench = make_bench(CONNECTED)
    file = Path(f"{bench.starts}.environment")
    bench.tend_until(lambda: file.exists() and "PYTHONPATH=" in file.read_text())
    seen = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    folder = Path(seen["PATH"])
    assert folder == bench.work / "flower" / "bin"
    assert not {"HTTPS_PROXY", "SECRET_TOKEN"} & set(seen)
    assert seen["FLWR_HOME"] == str(bench.work / "flower")
    scripts = {path.name: path for path in folder.iterdir()}
    assert "client.courier" in scripts.pop("flwr-clientapp").read_text()
    # Every other program that Flower's SuperExec knows is refused.
    assert set(scripts) == set(TASK_TYPE_TO_COMMAND.values()) - {"flwr-clientapp"}
    for script in scripts.values():
        assert subprocess.run([script], capture_output=True, check=False).returncode == 1


def test_the_worker_has_neither_proxy_nor_secret_and_the_approved_code_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "SECRET_TOKEN", "FLWR_HOME", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    given = worker_environment(tmp_path)
    assert given["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)
    assert given["CUDA_VISIBLE_DEVICES"] == "1"
    assert "x" not in given.values()
    assert "x" not in {
        value for name, value in courier_environment(tmp_path, tmp_path).items() if name != "FLWR_HOME"
    }


def test_the_certificate_on_loopback_is_accepted_by_who_knows_it_and_by_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours, other = make_loopback(tmp_path), make_loopback(tmp_path / "other")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(ours.certificate, ours.key)
    for trusted, accepted in ((ours, True), (other, False)):
        near, far = socket.socketpair()
        asking = ssl.create_default_context(cafile=str(trusted.certificate))

        def serve(far: socket.socket = far) -> None:
            try:
                served.wrap_socket(far, server_side=True).close()
            except (ssl.SSLError, OSError):
                far.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            asking.wrap_socket(near, server_hostname="127.0.0.1").close()
            assert accepted
        except ssl.SSLCertVerificationError:
            assert not accepted
        near.close()
        thread.join()


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["ERROR: SSL/TLS handshake error detected.", "Exit Code: 305"], "certificate"),
        (["Exit Code: 305", "Failed to initialize the connection to the SuperLink."], "not registered"),
        (["INFO :      SuperNode terminated gracefully."], "revoked"),
        (["[Errno 98] error while attempting to bind on address: address already in use"], "port"),
    ],
)
def test_why_a_supernode_ended_is_told(lines: list[str], word: str) -> None:
    assert word in (reason_of(lines) or "")


def test_a_supernode_that_says_nothing_has_no_reason() -> None:
    assert reason_of(["INFO: Starting Flower SuperNode"]) is None


FAILS = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
def run():
    assert sys.argv == ["flower-supernode", "--port", "1"]
    {end}
"""


@pytest.mark.parametrize(
    "end",
    ["return", "raise ValueError('x')", "threading.Thread(target=lambda: 1 / 0).start(); time.sleep(600)"],
)
def test_a_program_whose_work_has_ended_ends_though_a_thread_lives(tmp_path: Path, end: str) -> None:
    (tmp_path / "failing.py").write_text(FAILS.format(end=end))
    start = f"""
import importlib.metadata, sys
sys.path.insert(0, {str(tmp_path)!r})
from client.daemon import flower
point = importlib.metadata.EntryPoint("flower-supernode", "failing:run", "console_scripts")
class Flower:
    entry_points = importlib.metadata.EntryPoints([point])
importlib.metadata.distribution = lambda name: Flower
flower.main(["flower-supernode", "--port", "1"])
"""
    finished = subprocess.run(
        [sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert finished.returncode == 1
    assert "has ended" in finished.stderr
