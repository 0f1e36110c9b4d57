"""``hqgnet train`` and ``hqgnet ablate`` before the first step: hours of work must not end at a mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import yaml

from hqgnet.cli import main
from hqgnet.commands import ablate as ablate_command
from hqgnet.commands import train as train_command
from hqgnet.config import Experiment
from hqgnet.errors import ExitCode
from hqgnet.model_file import load_model
from hqgnet.networks import networks_of
from tests.other_user import nobody, open_folder


class TrainingBegunError(Exception):
    """Raised in place of training."""


@pytest.fixture(autouse=True)
def _begin_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(*_: Any) -> NoReturn:
        raise TrainingBegunError

    monkeypatch.setattr(train_command, "train_centrally", begin)


@pytest.fixture
def experiment_file(tiny_experiment: Experiment, tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(json.loads(tiny_experiment.to_json())))
    return path


@pytest.fixture
def train(experiment_file: Path, tiny_site_files: list[Path]) -> list[str]:
    """The command without its output."""
    return ["train", str(experiment_file), "--site", str(tiny_site_files[0]), "--output"]


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_no_experiment_may_have_is_refused(
    train: list[str], tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its model could never be opened again."""
    assert main([*train, str(tmp_path / "m.safetensors"), "--seed", str(seed)]) == ExitCode.CONFIGURATION
    assert f"--seed: seed: {seed} does not fit" in capsys.readouterr().err


def test_a_seed_takes_the_place_of_the_experiments(
    train: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_experiment: Experiment
) -> None:
    seen: list[Experiment] = []

    def begin(experiment: Experiment, *_: Any) -> NoReturn:
        seen.append(experiment)
        raise TrainingBegunError

    monkeypatch.setattr(train_command, "train_centrally", begin)
    with pytest.raises(TrainingBegunError):
        main([*train, str(tmp_path / "m.safetensors"), "--seed", str(2**31 - 1)])
    assert seen == [tiny_experiment.model_copy(update={"seed": 2**31 - 1})]


def test_an_output_that_cannot_be_written_is_told_before_training(
    train: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    for output in ("file/m.safetensors", "file/deeper/m.safetensors", "folder.safetensors"):
        assert main([*train, str(tmp_path / output)]) == ExitCode.OUTPUT
        assert str(tmp_path / output.split("/")[0]) in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_told_before_training(
    experiment_file: Path, tiny_site_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with open_folder() as folder:
        shutil.copytree(tiny_site_files[0].parent, folder / "site")
        shutil.copy(experiment_file, folder / "experiment.yaml")
        (folder / "closed").mkdir(mode=0o555)
        (folder / "private").mkdir(mode=0o700)
        output = folder / "closed" / "m.safetensors"
        given = [str(folder / "experiment.yaml"), "--site", str(folder / "site" / "site.yaml")]
        with nobody():
            code = main(["train", *given, "--output", str(output)])
            assert main(["train", *given, "--output", str(folder / "private" / "m.safetensors")]) == code
    assert code == ExitCode.OUTPUT
    assert f"{output.parent}: cannot be written to (Permission denied)" in capsys.readouterr().err


def test_a_missing_folder_is_made_before_training(train: list[str], tmp_path: Path) -> None:
    with pytest.raises(TrainingBegunError):
        main([*train, str(tmp_path / "new" / "deeper" / "m.safetensors")])
    assert list((tmp_path / "new" / "deeper").iterdir()) == []


def _with_a_bad_image(site_file: Path, copy: Path) -> tuple[Path, Path]:
    """Return the file of a copied site, and its image that cannot be read."""
    shutil.copytree(site_file.parent, copy)
    bad = min((copy / "images" / "lq").rglob("*.png"))
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    return copy / site_file.name, bad


def test_images_that_cannot_be_read_are_named_before_training(
    experiment_file: Path,
    tiny_site_files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site, bad = _with_a_bad_image(tiny_site_files[0], tmp_path / "site")
    common = [str(experiment_file), "--site", str(site), "--site", str(tiny_site_files[1])]
    with pytest.raises(TrainingBegunError):
        main(["train", *common, "--output", str(tmp_path / "m.safetensors")])
    printed = capsys.readouterr()
    said = ["site site-1: 1 file cannot be read and is left out:", f"  {bad}: cannot be read as an image"]
    assert printed.out == ""
    for line, start in zip(printed.err.splitlines(), said, strict=True):
        assert line.startswith(start)

    monkeypatch.setattr(ablate_command, "run_table", lambda *_: ("the table\n", {}))
    options = ["--site", str(site), "--budget", "4", "--out", str(tmp_path / "tables")]
    assert main(["ablate", "Va", "--experiment", str(experiment_file), *options]) == 0
    printed = capsys.readouterr()
    assert printed.out == "the table\n"
    assert f"  {bad}: cannot be read as an image" in printed.err


@pytest.mark.parametrize(("form", "size"), [("v_c", 64), ("feature", None)])
def test_a_cue_is_stored_and_a_mean_feature_map_is_not(
    train: list[str],
    experiment_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    size: int | None,
) -> None:
    written = yaml.safe_load(experiment_file.read_text())
    written["ablation"]["guidance_vector"] = form
    experiment_file.write_text(yaml.safe_dump(written))
    monkeypatch.setattr(
        train_command,
        "train_centrally",
        lambda experiment, *_: SimpleNamespace(networks=networks_of(experiment)),
    )
    file = tmp_path / "m.safetensors"
    assert main([*train, str(file)]) == 0
    guidance = load_model(file).guidance
    assert (None if guidance is None else guidance.numel()) == size
