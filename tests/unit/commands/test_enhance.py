"""``hqgnet enhance`` as a person calls it: what it refuses before any work, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hqgnet.cli import main
from hqgnet.config import Experiment, PhaseConfig
from hqgnet.errors import ExitCode
from hqgnet.method_config import AblationConfig
from hqgnet.model_file import save_model
from hqgnet.networks import networks_of
from tests.other_user import closed, nobody, open_folder


def enhance(source: Path, output: Path, *options: str) -> int:
    enhancer = [] if "--model" in options else ["--method", "ata"]
    return main(["enhance", *enhancer, "--input", str(source), "--output", str(output), *options])


def picture(path: Path, *, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 12), (level, level // 2, level // 3)).save(path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder in which one image lies where the other's result would go."""
    picture(tmp_path / "in" / "a.png", level=90)
    picture(tmp_path / "in" / "sub" / "a.png", level=30)
    return tmp_path / "in"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("inside", [".", "sub", "new", "sub/../new", "../link"])
def test_no_result_goes_into_the_folder_of_originals(
    source: Path, inside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (source.parent / "link").symlink_to(source / "sub")
    before = files(source)
    assert enhance(source, source / inside, "--overwrite") == ExitCode.OUTPUT
    assert f"lies within the input {source}" in capsys.readouterr().err
    assert files(source) == before


def test_no_original_is_replaced_by_another_ones_result(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a link the folder of results holds an original."""
    output = source.parent / "out"
    output.mkdir()
    (output / "sub").symlink_to(source / "sub")
    before = files(source)
    assert enhance(source, output, "--overwrite") == ExitCode.OUTPUT
    assert f"{output / 'sub' / 'a.png'}: is an input" in capsys.readouterr().err
    assert files(source) == before


def test_results_that_are_there_stay_unless_it_is_asked_for(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = source.parent / "out"
    assert enhance(source / "a.png", output) == 0
    first = files(output)
    assert enhance(source / "sub" / "a.png", output) == ExitCode.OUTPUT
    said = capsys.readouterr().err
    assert f"{output}: holds 1 of 1 results already (first {output / 'a.png'})" in said
    assert "--overwrite" in said
    assert files(output) == first
    assert enhance(source / "sub" / "a.png", output, "--overwrite") == 0
    assert files(output).keys() == first.keys() and files(output) != first


def test_a_folder_that_cannot_be_written_is_told_before_the_first_image(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(source / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (source.parent / "file").touch()
    assert enhance(source, source.parent / "file" / "out") == ExitCode.OUTPUT
    assert "a.png" not in capsys.readouterr().err
    with open_folder() as folder:
        picture(folder / "a.png")
        (folder / "closed").mkdir(mode=0o555)
        with nobody():
            assert enhance(folder / "a.png", folder / "closed") == ExitCode.OUTPUT
    assert "closed: cannot be written to (Permission denied)" in capsys.readouterr().err


def test_a_folder_that_may_not_be_entered_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with open_folder() as folder:
        image = picture(folder / "private" / "a.png")
        with closed(image.parent), nobody():
            assert enhance(image, folder / "out") == ExitCode.DATA
            assert main(["score", str(image)]) == ExitCode.DATA
    assert capsys.readouterr().err.count("may not be") == 2


def test_hidden_files_are_no_images(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """macOS leaves a ._IMG.png beside IMG.png, which no decoder reads."""
    (source / "._a.png").write_bytes(b"\0\5\x16\7")
    assert enhance(source, source.parent / "out") == 0
    assert "2 of 2 images enhanced" in capsys.readouterr().out


def test_a_line_of_pixels_does_not_end_a_batch(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (1, 9), 50).save(source / "0.png")
    assert enhance(source, source.parent / "out") == 0
    assert "3 of 3 images enhanced" in capsys.readouterr().out


def test_a_grey_model_takes_no_colours_away(
    tiny_experiment: Experiment, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = tiny_experiment.model_copy(update={"channels": 1})
    model, output = source.parent / "model.safetensors", source.parent / "out"
    save_model(model, networks_of(grey, seed=5), grey, guidance=torch.zeros(64))
    noise = np.random.default_rng(0).integers(-3, 4, (32, 32, 3))
    Image.fromarray((90 + noise).astype(np.uint8)).save(source / "grey.jpg", quality=95)
    assert enhance(source, output, "--model", str(model)) == ExitCode.DATA
    printed = capsys.readouterr()
    assert "1 of 3 images enhanced" in printed.out
    for name in ("a.png", "sub/a.png"):
        assert f"error: {source / name}: is coloured" in printed.err
    assert list(files(output)) == ["grey.jpg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tile", "64"], "--tile: at the size that the network was trained at"),
        (["--tile", "64", "--at", "trained"], "--tile: at the size that the network was trained at"),
        (["--overlap", "64"], "--overlap: there are no tiles"),
        (["--overlap", "0", "--at", "native"], "--overlap: there are no tiles"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    tiny_experiment: Experiment,
    source: Path,
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = source.parent / "model.safetensors"
    save_model(model, networks_of(tiny_experiment, seed=5), tiny_experiment, guidance=torch.zeros(64))
    assert enhance(source, source.parent / "out", "--model", str(model), *options) == ExitCode.CONFIGURATION
    assert f"error: {said}" in capsys.readouterr().err
    assert not (source.parent / "out").exists()


def unguided(experiment: Experiment, **changed: object) -> Experiment:
    no_pretraining = experiment.phases.model_copy(update={"pretrain": PhaseConfig(rounds=0, steps=1)})
    return experiment.model_copy(update={"phases": no_pretraining, **changed})


@pytest.mark.parametrize(
    "changed",
    [{"method": "stillgan"}, {"ablation": AblationConfig(guidance="none")}],
    ids=["method", "ablation"],
)
def test_a_guide_is_refused_where_nothing_is_guided(
    tiny_experiment: Experiment,
    source: Path,
    changed: dict[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    experiment, model = unguided(tiny_experiment, **changed), source.parent / "model.safetensors"
    save_model(model, networks_of(experiment, seed=5), experiment, guidance=None)
    guide = ["--guide", str(source / "a.png")]
    given = ["--model", str(model)]
    assert enhance(source, source.parent / "out", *given, *guide) == ExitCode.CONFIGURATION
    assert f"error: --guide: {model} takes no guide" in capsys.readouterr().err
    assert not (source.parent / "out").exists()
    exported = ["--to", "onnx", "--output", str(source.parent / "onnx"), "--guidance", "input", *guide]
    assert main(["export", *given, *exported]) == ExitCode.CONFIGURATION
    said = capsys.readouterr().err
    assert "error: --guide: " in said and "error: --guidance input: " in said
    assert not (source.parent / "onnx").exists()


def test_a_model_that_makes_nan_is_told_an_image(
    tiny_experiment: Experiment, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finite weights may be too large to compute with."""
    networks, model = networks_of(tiny_experiment, seed=5), source.parent / "model.safetensors"
    with torch.no_grad():
        networks.generator.bottom.weight.fill_(3e38)
    save_model(model, networks, tiny_experiment, guidance=torch.zeros(64))
    assert enhance(source, source.parent / "out", "--model", str(model)) == ExitCode.DATA
    printed = capsys.readouterr()
    assert "0 of 2 images enhanced" in printed.out
    assert f"error: {source / 'a.png'}: the model makes NaN or infinity of it" in printed.err
