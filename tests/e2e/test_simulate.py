"""The real thing: ``hqgnet-server simulate`` with two tiny sites, Flower's processes and Ray's workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqgnet.model_file import load_model

ROOT = Path(__file__).parents[2]
EXPERIMENT = """\
name: tiny
seed: 5
modality: fundus
channels: 3
image_size: 48
preset: tiny
training: {batch_size: 2}
phases:
  pretrain: {rounds: 1, steps: 1}
  enhance: {rounds: 2, steps: 1}
  cooperate: {rounds: 1, steps: 1}
"""

pytestmark = pytest.mark.e2e


@pytest.fixture
def command(tmp_path: Path, tiny_site_files: list[Path]) -> list[str]:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(EXPERIMENT)
    pattern = str(tiny_site_files[0].parents[1] / "*" / "site.yaml")
    simulate = [sys.executable, "-m", "server.cli", "simulate", str(experiment), "--sites", pattern]
    return [*simulate, "--runs", str(tmp_path / "runs")]


@pytest.fixture
def short() -> Iterator[Path]:
    """Give a temporary folder of its own, so that what is left behind shows."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # Ray may still write its logs


def flower_processes(home: Path) -> list[str]:
    """Return the command lines of running processes whose environment names the temporary folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TMPDIR={home}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_a_federation_from_one_command(command: list[str], tmp_path: Path, short: Path) -> None:
    environment = os.environ | {"TMPDIR": str(short)}
    finished = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    lines = finished.stdout.splitlines()
    assert sum("2 sites" in line and "reconstruction" in line for line in lines) == 1
    assert any(line.startswith("cooperate    1/1") and "segmentation" in line for line in lines)
    assert any(line.startswith("site mean") for line in lines)
    run = tmp_path / "runs" / "tiny"
    assert json.loads((run / "status.json").read_text())["state"] == "completed"
    model = load_model(run / "models" / "best.safetensors")
    assert model.guidance is not None and model.details["task_trained"]
    table = json.loads((run / "table.json").read_text())
    assert set(table["sites"]) == {"site-1", "site-2"} and not table["failed"]
    assert not list(short.glob("hqgnet-*"))
    assert not flower_processes(short)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for left-over processes in /proc")
def test_an_interrupted_simulation_leaves_no_process(command: list[str], tmp_path: Path, short: Path) -> None:
    process, run = begun(command, tmp_path, short)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert json.loads((run / "status.json").read_text())["exit_code"] == 130
    assert not left_after(10, short)
    assert not list(short.glob("hqgnet-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's kernel ties processes to each other")
def test_a_killed_simulation_trains_no_further(command: list[str], tmp_path: Path, short: Path) -> None:
    process, _ = begun(command, tmp_path, short)
    process.kill()
    process.communicate(timeout=60)
    # Two helpers of Ray's, which do nothing by themselves, notice it a minute later.
    assert not left_after(20, short, besides=("ray::DashboardAgent", "ray::RuntimeEnvAgent"))


def begun(command: list[str], tmp_path: Path, short: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a simulation, and return it and its run's folder once the run has begun."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(short)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    progress = tmp_path / "runs" / "tiny" / "progress.jsonl"
    until = time.monotonic() + 120
    while not progress.exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    return process, progress.parent


def left_after(patience_s: float, home: Path, besides: tuple[str, ...] = ()) -> list[str]:
    """Return which processes are still there after some seconds."""
    until = time.monotonic() + patience_s
    while left := [line for line in flower_processes(home) if not line.startswith(besides)]:
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    return left
