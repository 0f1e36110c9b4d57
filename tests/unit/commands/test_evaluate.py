"""``hqgnet evaluate`` as a person calls it: what it refuses, and that no figure is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from hqgnet.cli import main
from hqgnet.commands import evaluate as evaluate_command
from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ExitCode, OutputError, Problem
from hqgnet.model_file import save_model
from hqgnet.networks import networks_of


@pytest.fixture(scope="module")
def model(tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    save_model(path, networks_of(tiny_experiment, seed=5), tiny_experiment, guidance=torch.zeros(64))
    return path


@pytest.fixture
def site(tiny_site_files: list[Path], tmp_path: Path) -> Path:
    """A site whose files a test may change."""
    shutil.copytree(tiny_site_files[0].parent, tmp_path / "site")
    return tmp_path / "site" / tiny_site_files[0].name


def damage(site: Path, split: str, count: int) -> list[Path]:
    """Spoil the first LQ images of a split."""
    bad = [sample.path for sample in SiteData.open(load_site_config(site)).lq[split][:count]]
    for path in bad:
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    return bad


def test_the_row_is_printed_even_if_it_cannot_be_written(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path, data: bytes) -> NoReturn:
        raise OutputError(Problem(str(path), "cannot be written (No space left on device)", ""))

    monkeypatch.setattr(evaluate_command, "write_atomically", fail)
    call = ["evaluate", "--method", "caefi", "--size", "48", "--site", str(site)]
    assert main([*call, "--json", str(tmp_path / "row.json")]) == ExitCode.OUTPUT
    assert json.loads(capsys.readouterr().out)["psnr_enhanced"] > 0


@pytest.mark.parametrize("options", [["--method", "caefi"], ["--model"], ["--model", "--guides", "one"]])
def test_a_file_that_cannot_be_written_is_told_before_images_are_judged(
    site: Path, model: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    given = [
        part for option in options for part in ([option, str(model)] if option == "--model" else [option])
    ]
    call = ["evaluate", *given, "--site", str(site), "--json"]
    for wrong in (tmp_path / "file" / "row.json", tmp_path):
        assert main([*call, str(wrong)]) == ExitCode.OUTPUT
        printed = capsys.readouterr()
        assert printed.out == "" and str(wrong.parent if wrong != tmp_path else wrong) in printed.err
    assert main([*call, str(tmp_path / "new" / "row.json")]) == 0
    assert json.loads((tmp_path / "new" / "row.json").read_text())["site"] == "site-1"


@pytest.mark.parametrize("guides", [[], ["--guides", "one"]])
def test_images_that_cannot_be_read_are_named(
    site: Path, model: Path, guides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = damage(site, "test", 2)
    assert main(["evaluate", "--model", str(model), "--site", str(site), *guides]) == 0
    printed = capsys.readouterr()
    assert "site site-1: 2 files cannot be read and are left out:" in printed.err
    for path in bad:
        assert f"  {path}: cannot be read as an image" in printed.err
        assert path.name not in printed.out


@pytest.mark.parametrize("guides", [[], ["--guides", "one"]])
def test_a_split_without_a_readable_image_is_an_error(
    site: Path, model: Path, guides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(site, "validation", 100)
    call = ["evaluate", "--model", str(model), "--site", str(site), "--split", "validation", *guides]
    assert main(call) == ExitCode.DATA
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "site site-1: split validation: holds no LQ image that can be read" in printed.err


@pytest.mark.parametrize(
    "option", [["--out", "x"], ["--strengths", "0.2"], ["--seed", "0"], ["--most-guides", "3"]]
)
def test_options_of_guides_need_them(
    site: Path, model: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["evaluate", "--site", str(site), *option]
    assert main([*call, "--model", str(model)]) == ExitCode.CONFIGURATION
    assert f"error: {option[0]}: is of --guides" in capsys.readouterr().err
    assert main([*call, "--method", "ata"]) == ExitCode.CONFIGURATION
    assert f"error: {option[0]}: ata takes no guide" in capsys.readouterr().err


@pytest.mark.parametrize("guidance", ["site", "stored"])
def test_a_model_that_takes_no_guide_is_given_none(
    tiny_experiment: Experiment,
    site: Path,
    tmp_path: Path,
    guidance: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unguided = tiny_experiment.model_copy(
        update={"ablation": tiny_experiment.ablation.model_copy(update={"guidance": "none"})}
    )
    phases = unguided.phases.model_copy(
        update={"pretrain": unguided.phases.pretrain.model_copy(update={"rounds": 0})}
    )
    unguided = unguided.model_copy(update={"phases": phases})
    path = tmp_path / "model.safetensors"
    save_model(path, networks_of(unguided, seed=5), unguided, guidance=None)
    call = ["evaluate", "--model", str(path), "--site", str(site)]
    assert main([*call, "--guidance", guidance]) == ExitCode.CONFIGURATION
    assert "error: --guidance: this model takes no guide" in capsys.readouterr().err
    assert main(call) == 0
