"""Bad nights at the server: ServerApp, SuperLink or everything killed; a damaged checkpoint; resumed runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.faults.consortium import ROOT, Consortium, pids, rows

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def consortium(consortium_factory: Callable[..., Consortium]) -> Consortium:
    """Three hospitals, up; each test starts the server as it needs it."""
    consortium = consortium_factory()
    consortium.start_server()
    consortium.join()
    return consortium


def simulated(consortium: Consortium, experiment: Path, out: Path) -> Path:
    """The same experiment, never interrupted."""
    pattern = str(consortium.kits / "*" / "site.yaml")
    simulate = ["server.cli", "simulate", str(experiment), "--sites", pattern, "--runs", str(out)]
    subprocess.run(
        [sys.executable, "-m", *simulate],
        cwd=ROOT,
        env=consortium.environment(),
        capture_output=True,
        check=True,
    )
    return out / experiment.stem


def assert_same(run: Path, reference: Path) -> None:
    """Models to 1e-6, and every row of metrics."""
    for model in reference.glob("models/*.safetensors"):
        ours, theirs = load_file(run / "models" / model.name), load_file(model)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            np.testing.assert_allclose(value, theirs[name], rtol=0, atol=1e-6, err_msg=name)
    ours_rows, theirs_rows = (_without_run(rows(folder / "metrics.jsonl")) for folder in (run, reference))
    assert len(ours_rows) == len(theirs_rows)
    for ours_row, theirs_row in zip(ours_rows, theirs_rows, strict=True):
        assert ours_row.pop("sites_behind", None) == theirs_row.pop("sites_behind", None)
        assert ours_row == pytest.approx(theirs_row, abs=1e-6)


def _without_run(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "run"} for row in table]


def test_everything_killed_and_resumed_equals_never_stopped(
    consortium: Consortium, experiment_factory: Callable[..., Path], tmp_path: Path
) -> None:
    """Six rounds; all processes of everybody killed after three, and the newest checkpoint cut short."""
    run = "resumed"
    experiment = experiment_factory(run, {"minimum_sites": 3}, pretrain=1, enhance=3, cooperate=2)
    first = consortium.run(experiment)
    consortium.wait_for_round(run, 3)
    first.kill()
    for pid in pids(str(consortium.root)):
        os.kill(pid, signal.SIGKILL)
    for program in [*consortium.daemons.values(), consortium.server]:
        assert program is not None
        program.kill()
    state = consortium.runs / run / "state" / "latest.safetensors"
    if state.exists():  # else the kill came in the very write, and the one before must do as well
        state.write_bytes(state.read_bytes()[:-1000])
    consortium.start_server()
    for name in consortium.names:
        consortium.start_site(name)
    resumed = consortium.run(None, "--resume", run)
    assert resumed.wait(400) == 0, resumed.text
    consortium.check_result(run, rounds=6)
    assert_same(consortium.runs / run, simulated(consortium, experiment, tmp_path))


def test_a_killed_server_app_and_superlink(
    consortium: Consortium, experiment_factory: Callable[..., Path], tmp_path: Path
) -> None:
    """The ServerApp dies in aggregation, then in the write of a checkpoint; then the SuperLink dies."""
    run = "killed"
    assert consortium.server is not None
    consortium.server.terminate()
    tampered = [
        {"fault": "kill-in-aggregation", "nth": 1, "once": str(tmp_path / "aggregation")},
        {"fault": "kill-in-write", "name": "state/latest", "nth": 2, "once": str(tmp_path / "checkpoint")},
    ]
    consortium.start_server(tampered)
    experiment = experiment_factory(run, {"minimum_sites": 3}, pretrain=1, enhance=3, cooperate=1)
    running = consortium.run(experiment)
    consortium.wait_for_round(run, 3, 300)
    superlinks = pids("flower-superlink", str(consortium.root))
    assert superlinks
    for pid in superlinks:
        os.kill(pid, signal.SIGKILL)
    assert running.wait(400) == 0, running.text
    assert (tmp_path / "aggregation").exists() and (tmp_path / "checkpoint").exists()
    consortium.check_result(run, rounds=5)
    assert_same(consortium.runs / run, simulated(consortium, experiment, tmp_path / "simulated"))
