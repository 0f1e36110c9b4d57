"""Programs that are kept running, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hqgnet.child
from server.launch import kept_running
from server.launch.kept_running import KeptRunning, limit_log

ROOT = Path(__file__).parents[4]


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit_s
        time.sleep(0.02)


def contents(file: Path) -> str:
    """What a file holds; nothing where it has just been moved away."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def child(tmp_path: Path, code: str) -> KeptRunning:
    return KeptRunning("thing", [sys.executable, "-c", code], os.environ, tmp_path, tmp_path / "thing.log")


def test_one_that_ends_is_started_again_after_a_growing_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_running, "_FIRST_PAUSE_S", 0.05)
    thing = child(tmp_path, "print('\\033[92mwords\\033[0m'); raise SystemExit(3)")
    thing._pause_s = 0.05
    thing.start()
    lines: list[str] = []
    begun = time.monotonic()
    while thing.starts < 4:
        if line := thing.tend():
            lines.append(line)
        assert time.monotonic() - begun < 10
    until(lambda: thing.log.read_text().count("words\n") == 4)
    thing.end(1)
    assert lines[0] == f"thing ended with exit code 3; started again in 0.05 s; see {thing.log}"
    assert lines[1] == "thing started again"
    assert ["in 0.05 s" in lines[0], "in 0.1 s" in lines[2], "in 0.2 s" in lines[4]] == [True] * 3
    assert "\033" not in thing.log.read_text()


def test_one_that_was_killed_is_told_so(tmp_path: Path) -> None:
    thing = child(tmp_path, "import time; time.sleep(60)")
    thing.start()
    assert thing.tend() is None
    process = thing.process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    until(lambda: thing.process_id is None)
    assert "was killed by SIGKILL" in str(thing.tend())
    thing.end(1)


def test_ending_takes_what_it_has_started_along(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(inner.pid, flush=True); time.sleep(60)"
    )
    thing = child(tmp_path, code)
    thing.start()
    until(lambda: thing.log.exists() and thing.log.read_text().endswith("\n"))
    inner = int(thing.log.read_text().split()[-1])
    begun = time.monotonic()
    thing.end(0.2)
    assert time.monotonic() - begun < 5
    until(lambda: not _lives(inner))


def test_what_it_has_started_outlives_its_own_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_running, "_FIRST_PAUSE_S", 0.05)
    code = (
        "import subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(inner.pid, flush=True)"
    )
    thing = child(tmp_path, code)
    thing._pause_s = 0.05
    thing.start()
    until(lambda: bool(thing.tend()) and thing.starts == 2)
    until(lambda: thing.log.read_text().count("\n") >= 2)
    first = int(thing.log.read_text().splitlines()[0].split()[-1])
    assert _lives(first)
    os.kill(first, signal.SIGKILL)
    thing.end(1)


@pytest.mark.skipif(sys.platform != "linux", reason="the tie is Linux's")
def test_none_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from server.launch.kept_running import KeptRunning\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "one = KeptRunning('one', [sys.executable, '-c', 'import time; time.sleep(60)'], os.environ, folder, "
        "folder / 'log')\n"
        "one.start(); print(one.process_id, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    inner = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not _lives(inner))


def test_logs_stay_below_their_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hqgnet.child, "LOG_BYTES", 1000)
    monkeypatch.setattr(kept_running, "_LOGS_KEPT", 2)
    thing = child(tmp_path, "for number in range(1000): print(f'line {number:05d}')")
    thing.start()
    until(lambda: thing.process_id is None)
    # Between two files there is none for a moment.
    until(lambda: "line 00999" in contents(thing.log))
    thing.end(1)
    logs = sorted(tmp_path.glob("thing.log*"))
    assert [log.name for log in logs] == ["thing.log", "thing.log.1", "thing.log.2"]
    assert all(log.stat().st_size <= 1000 for log in logs)


def test_a_log_that_others_append_to_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_running, "LOG_BYTES", 10)
    monkeypatch.setattr(kept_running, "_LOGS_KEPT", 2)
    log = tmp_path / "serverapp.log"
    limit_log(log)
    with log.open("a") as writer:
        for word in ("the first line", "the second line", "the third line"):
            writer.write(word)
            writer.flush()
            limit_log(log)
        writer.write("short")
    limit_log(log)
    assert log.read_text() == "short"
    assert (tmp_path / "serverapp.log.1").read_text() == "the third line"
    assert (tmp_path / "serverapp.log.2").read_text() == "the second line"
    assert len(list(tmp_path.iterdir())) == 3


def _lives(process: int) -> bool:
    try:
        return b"python" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
