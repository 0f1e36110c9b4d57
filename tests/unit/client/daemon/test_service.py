"""``hqgnet-client up`` and ``status``, as processes: what is refused, the orderly end, and the sudden one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.approvals import Approvals
from client.cli import main
from client.commands.status import page
from client.daemon.lock import SiteLock, is_held
from client.daemon.loopback import make_loopback
from client.frames import asked_frame, receive_frame, send_frame
from client.message import Asked
from hqgnet.errors import OutputError
from tests.other_user import open_to_others

ROOT = Path(__file__).parents[4]
MakeBundle = Callable[[Mapping[str, str]], bytes]
WaitFor = Callable[[Callable[[], bool], float], None]
BUSY = """
import time
from pathlib import Path
def act(asked, file):
    (Path(file).parent / "began").touch()
    time.sleep(600)
"""


@pytest.fixture
def joined(own_site: Path) -> Path:
    """A site with a server that nobody is at, and keys that can be used."""
    folder = own_site.parent
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (folder / "site.key").write_bytes(private)
    (folder / "site.key").chmod(0o600)
    loopback = make_loopback(folder)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    server = f"{{address: '127.0.0.1:{port}', ca: {loopback.certificate.name}, key: site.key}}"
    own_site.write_text(f"{own_site.read_text()}\nserver: {server}\n")
    return own_site


@pytest.fixture
def up(joined: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        made.append(
            subprocess.Popen(
                [sys.executable, "-m", "client.cli", "up", str(joined)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                umask=0o022,
            )
        )
        return made[-1]

    yield start
    for process in made:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def processes_of(folder: Path) -> list[int]:
    """All living processes whose command line or environment names a folder, but our own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in told and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def test_without_a_server_there_is_nothing_to_join(
    own_site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", str(own_site)]) == 10
    assert "server" in capsys.readouterr().err


def test_all_that_is_wrong_with_keys_is_said_at_once(
    joined: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (joined.parent / "site.key").chmod(0o640)
    (joined.parent / "runtime.pem").unlink()
    assert main(["up", str(joined)]) == 10
    told = capsys.readouterr().err
    assert f"chmod 600 {joined.parent / 'site.key'}" in told
    assert "server.ca" in told
    assert "PRIVATE" not in told


def test_two_daemons_do_not_share_a_site(work: Path) -> None:
    assert not is_held(work)
    with SiteLock(work) as lock:
        assert is_held(work)
        assert lock.folder.stat().st_mode & 0o077 == 0
        assert len(os.fsencode(lock.socket)) <= 107
        with pytest.raises(OutputError, match="another daemon"), SiteLock(work):
            pass
    assert not is_held(work)
    assert not lock.folder.exists()


def test_what_a_killed_daemon_left_is_removed_and_nothing_else(work: Path, tmp_path: Path) -> None:
    left, other = tmp_path / "hqgnet-abc", tmp_path / "precious"
    for folder in (left, other):
        (folder / "inside").mkdir(parents=True)
        (work / "daemon.lock").write_text(f"{folder}\n")
        with SiteLock(work):
            pass
    assert not left.exists()
    assert other.exists()


def test_the_daemon_ends_in_order(
    up: Callable[[], subprocess.Popen[str]],
    joined: Path,
    wait_for: WaitFor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = joined.parent / "work"
    daemon = up()
    wait_for(lambda: (work / "supernode.log").exists() and is_held(work), 60)
    assert main(["up", str(joined)]) == 13
    assert main(["status", "--json", str(joined)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["running"] is True and facts["pid"] == daemon.pid
    private = Path((work / "daemon.lock").read_text().strip())
    assert private.is_dir()

    daemon.send_signal(signal.SIGTERM)
    told, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, told
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO ended$", told, re.MULTILINE)
    assert not private.exists()
    assert processes_of(joined.parent) == []
    assert main(["status", str(joined)]) == 20
    assert "does not run" in capsys.readouterr().out


def test_what_a_daemon_and_its_programs_write_is_their_users_alone(
    up: Callable[[], subprocess.Popen[str]], joined: Path, wait_for: WaitFor
) -> None:
    work = joined.parent / "work"
    up()
    wait_for(lambda: (work / "supernode.log").exists() and (work / "status.json").exists(), 60)
    assert open_to_others(work) == []


def test_nothing_outlives_a_daemon_that_is_killed(
    up: Callable[[], subprocess.Popen[str]],
    joined: Path,
    make_bundle: MakeBundle,
    card_query: str,
    wait_for: WaitFor,
) -> None:
    work = joined.parent / "work"
    daemon = up()
    wait_for(lambda: (work / "supernode.log").exists() and is_held(work), 60)
    bundle = make_bundle({"client/actions.py": BUSY})
    Approvals(work).approve(bundle, "somebody")

    def bring() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(Path((work / "daemon.lock").read_text().strip()) / "daemon.sock"))
            send_frame(connection, asked_frame(Asked("query", card_query), bundle))
            with pytest.raises(Exception, match="gone"):
                receive_frame(connection)

    courier = threading.Thread(target=bring)
    courier.start()
    wait_for((joined.parent / "began").exists, 60)
    # The daemon, SuperNode, SuperExec, and the worker.
    assert len(processes_of(joined.parent)) >= 4
    daemon.kill()
    daemon.wait(10)
    courier.join(10)
    wait_for(lambda: processes_of(joined.parent) == [], 20)
    assert not is_held(work)


def test_the_page_of_a_working_daemon() -> None:
    facts = {
        "running": True,
        "pid": 7,
        "started": 0.0,
        "server": "a:1",
        "connection": "pausing",
        "reason": "not registered",
        "doing": "train",
        "since": 90.0,
        "last_message": {"kind": "train", "run": "r", "phase": "enhance", "round": 2, "at": 90.0},
        "epsilon": 1.25,
        "site": "site-1",
    }
    told = page(Path("site.yaml"), facts, now=7300.0)
    assert "a:1: pausing (not registered)" in told
    assert "train r enhance 2, 2 h ago" in told
    assert "since 2 h" in told
    assert "epsilon 1.25" in told
