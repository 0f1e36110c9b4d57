"""The real thing on loopback: TLS, authenticated sites, three daemons; equal to the simulation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from tests.faults.conftest import PLANTED
from tests.faults.consortium import ROOT, Consortium, free_port, rows
from tests.faults.recorder import Recorder

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]
_RUN = "whole"


@pytest.fixture(scope="module")
def whole(
    consortium_factory: Callable[..., Consortium], experiment_factory: Callable[..., Path]
) -> tuple[Consortium, Path, Path]:
    """One finished run of three hospitals, with all that they sent written down."""
    behind = free_port()
    made = consortium_factory(server={"port": behind})
    sent = made.root / "sent.bin"
    home = made.root / "home"
    recorder = Recorder(
        made.port,
        behind,
        home / "tls" / "server.pem",
        home / "tls" / "server.key",
        home / "ca" / "ca.pem",
        sent,
    )
    made.start_server()
    made.join()
    experiment = experiment_factory(_RUN, pretrain=1, enhance=2, cooperate=1)
    run = made.run(experiment)
    assert run.wait(300) == 0, run.text
    recorder.close()
    return made, experiment, sent


def test_it_ends_as_it_should(whole: tuple[Consortium, Path, Path]) -> None:
    consortium, _, _ = whole
    consortium.check_result(_RUN, rounds=4)
    assert all(len(row["sites"]) == 3 for row in consortium.rounds(_RUN))
    status = consortium.command("server.cli", "status", str(consortium.file))
    for name in consortium.names:
        assert name in status


def test_the_result_is_the_simulation_s(whole: tuple[Consortium, Path, Path], tmp_path: Path) -> None:
    consortium, experiment, _ = whole
    pattern = str(consortium.kits / "*" / "site.yaml")
    simulate = ["server.cli", "simulate", str(experiment), "--sites", pattern, "--runs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", *simulate],
        cwd=ROOT,
        env=consortium.environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for model in ("pretrain", "enhance", "cooperate", "best"):
        real = load_file(consortium.runs / _RUN / "models" / f"{model}.safetensors")
        simulated = load_file(tmp_path / _RUN / "models" / f"{model}.safetensors")
        assert real.keys() == simulated.keys()
        for name, value in real.items():
            np.testing.assert_allclose(value, simulated[name], rtol=0, atol=1e-6, err_msg=name)
    figures = [
        [
            {name: value for name, value in row.items() if name != "run"}
            for row in rows(folder / "metrics.jsonl")
        ]
        for folder in (consortium.runs / _RUN, tmp_path / _RUN)
    ]
    assert len(figures[0]) == len(figures[1]) > 0
    for real_row, simulated_row in zip(*figures, strict=True):
        assert real_row.pop("sites_behind", None) == simulated_row.pop("sites_behind", None)
        assert real_row == pytest.approx(simulated_row, abs=1e-6)


def test_nothing_of_a_patient_left_the_sites(whole: tuple[Consortium, Path, Path]) -> None:
    """What the hospitals sent and logged, and every file at the server: no name, identifier or pixels."""
    consortium, _, sent_file = whole
    sent = sent_file.read_bytes()
    # The recorder saw the real traffic: more than one model came from each of three sites.
    assert len(sent) > 3_000_000 and b"POST /v1/fleet/" in sent
    outside = [
        path
        for path in consortium.root.rglob("*")
        if path.is_file() and consortium.kits not in path.parents and path != sent_file
    ]
    logs = [path for kind in ("*.log*", "*.json*") for path in consortium.kits.glob(f"*/work/**/{kind}")]
    assert len(logs) >= 6
    haystacks = {"sent": sent, **{str(path): path.read_bytes() for path in [*outside, *logs]}}
    pixels = [pattern for name in consortium.names for pattern in _pixels(consortium.kits / name)]
    assert len(pixels) > 300
    for where, data in haystacks.items():
        for needle in [PLANTED.encode(), *pixels]:
            assert needle not in data, f"{where} holds {needle[:40]!r}"


def _pixels(kit: Path) -> list[bytes]:
    """Return parts of every image as they would look in a message: encoded, as bytes, as floats."""
    patterns = []
    for file in sorted(kit.rglob("*.png")):
        if "work" in file.relative_to(kit).parts:
            continue
        data = file.read_bytes()
        patterns.append(data[len(data) // 2 : len(data) // 2 + 32])
        image = np.atleast_3d(np.asarray(Image.open(file)))
        row = image[len(image) // 2]
        if len(np.unique(row)) < 8:
            continue  # a mask's row is no evidence: runs of 0 and 255 occur anywhere
        floats = (row.astype(np.float32) / 255).T
        patterns += [row.tobytes()[48:96], np.ascontiguousarray(row.T).tobytes()[12:36]]
        patterns += [np.ascontiguousarray(floats)[0].tobytes()[48:112]]
        patterns += [np.ascontiguousarray(floats.astype(np.float16))[0].tobytes()[24:56]]
    return patterns
