"""A program tied to its parent ends with it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hqgnet.tied import tied

ROOT = Path(__file__).parents[2]
PARENT = """
import signal, subprocess, sys, time
from hqgnet.tied import tied
child = subprocess.Popen(tied(["/bin/sleep", "600"], signal.{signal}))
print(child.pid, flush=True)
time.sleep(600)
"""

TIED_TO_ANOTHER = """
import time
from hqgnet.tied import end_with
end_with({process})
print(flush=True)
time.sleep(600)
"""


def is_sleeping(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() == b"/bin/sleep\x00600\x00"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_tied_program_ends_with_its_killed_parent(name: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(signal=name)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as told:
        child = int(told.readline())
    until = time.monotonic() + 10
    while not is_sleeping(child):  # the launcher has become the program, under the same number
        assert time.monotonic() < until
        time.sleep(0.02)
    parent.kill()
    parent.wait(10)
    while is_sleeping(child):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open is Linux's")
def test_a_process_ends_with_another_that_somebody_else_started() -> None:
    other = subprocess.Popen(["/bin/sleep", "600"])
    tied_to_it = [sys.executable, "-c", TIED_TO_ANOTHER.format(process=other.pid)]
    with subprocess.Popen(tied_to_it, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.poll() is None
        other.kill()
        other.wait(10)
        assert process.wait(10) == -signal.SIGKILL
    late = subprocess.run(tied_to_it, cwd=ROOT, timeout=10, check=False)
    assert late.returncode == -signal.SIGKILL


def test_a_program_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    started = tmp_path / "started"
    command = tied(["/bin/sh", "-c", f"touch {started}"])
    command[command.index(str(os.getpid()))] = "1"  # another than its real parent
    assert subprocess.run(command, timeout=10, check=False).returncode == 1
    assert not started.exists()


def test_the_programs_environment_and_exit_code_are_its_own() -> None:
    finished = subprocess.run(
        tied(["/bin/sh", "-c", "exit $CODE"], signal.SIGKILL), env={"CODE": "7"}, timeout=10, check=False
    )
    assert finished.returncode == 7
