"""The commands of ``hqgnet`` that have no file of their own here, as a person calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hqgnet.cli import main
from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ExitCode
from hqgnet.model_file import load_model


def test_inspect_comes_within_three_per_cent_of_table_iv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--preset", "paper", "--size", "384", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["total"]["params_m"] == pytest.approx(66.42, rel=0.03)
    assert counted["total"]["gmacs"] == pytest.approx(87.33, rel=0.03)
    for component in ("cue_extractor", "generator", "discriminator", "task", "autoencoder_decoder"):
        assert set(counted["components"][component]) == {"params_m", "gmacs"}


def test_sites_make_writes_sites_that_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sites"
    arguments = ["sites", "make", "--modality", "ccm", "--sites", "1", "--size", "32", "--out", str(out)]
    arguments += ["--train-lq", "3", "--train-hq", "2"]
    assert main(arguments) == 0
    [path] = capsys.readouterr().out.split()
    config = load_site_config(Path(path))
    assert config.channels == 1
    data = SiteData.open(config)
    assert (len(data.lq["train"]), len(data.hq["train"])) == (3, 2)
    assert main(arguments) == ExitCode.DATA
    assert "not empty" in capsys.readouterr().err


def test_train_writes_a_model_with_guidance(
    tiny_experiment: Experiment,
    tiny_site_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(yaml.safe_dump(json.loads(tiny_experiment.to_json())))
    output = tmp_path / "model.safetensors"
    sites = [argument for path in tiny_site_files for argument in ("--site", str(path))]
    assert main(["train", str(experiment), *sites, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "pretrain  2/2" in printed and "cooperate 2/2" in printed
    model = load_model(output)
    assert model.guidance is not None
    assert model.task_trained


def test_an_enhancer_trained_alone_has_no_dice(
    tiny_experiment: Experiment,
    tiny_site_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a phase cooperate the segmentor is as it was drawn, and the model's file says so."""
    given = json.loads(tiny_experiment.to_json())
    given["phases"]["cooperate"]["rounds"] = 0
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(yaml.safe_dump(given))
    output, site = tmp_path / "model.safetensors", str(tiny_site_files[0])
    assert main(["train", str(experiment), "--site", site, "--output", str(output)]) == 0
    assert not load_model(output).task_trained
    capsys.readouterr()
    assert main(["evaluate", "--model", str(output), "--site", site]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["psnr_enhanced"] > 0
    assert row.get("dice_enhanced") is None


def test_train_refuses_another_kind_of_file(
    tiny_experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(yaml.safe_dump(json.loads(tiny_experiment.to_json())))
    arguments = [
        "train",
        str(experiment),
        "--site",
        str(tiny_site_files[0]),
        "--output",
        str(tmp_path / "m.pt"),
    ]
    assert main(arguments) == ExitCode.CONFIGURATION


def test_a_site_of_other_images_is_refused_before_training(
    tiny_experiment: Experiment,
    tiny_site_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    experiment = tmp_path / "experiment.yaml"
    changed = json.loads(tiny_experiment.to_json()) | {"modality": "ccm", "channels": 1}
    experiment.write_text(yaml.safe_dump(changed))
    output = tmp_path / "model.safetensors"
    arguments = ["train", str(experiment), "--site", str(tiny_site_files[0]), "--output", str(output)]
    assert main(arguments) == ExitCode.CONFIGURATION
    said = capsys.readouterr().err
    assert "modality: is fundus" in said and "channels: is 3" in said
    assert not output.exists()


@pytest.mark.parametrize("length", [10, 10**6])
def test_a_reader_who_has_seen_enough_is_no_fault(length: int) -> None:
    program = "import sys; from hqgnet.commands import run_guarded; "
    program += f"sys.exit(run_guarded(lambda: print('x' * {length})))"
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (ExitCode.PIPE_CLOSED, b"")
