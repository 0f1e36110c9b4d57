"""``hqgnet enhance``: any size, any format, nothing lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hqgnet.cli import main
from hqgnet.config import Experiment
from hqgnet.data.reading import read_image
from hqgnet.errors import ExitCode
from hqgnet.guidance import image_guidance
from hqgnet.inference import enhance_image, enhance_with
from hqgnet.model_file import load_model, save_model
from hqgnet.networks import build_networks
from tests.unit.inference.models import lively_model, smooth_image


@pytest.fixture
def model_path(tiny_experiment: Experiment, tmp_path: Path) -> Path:
    networks = build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5)
    path = tmp_path / "model.safetensors"
    save_model(path, networks, tiny_experiment, guidance=torch.zeros(64), details={"task_trained": True})
    return path


@pytest.mark.parametrize("size", [(48, 48), (31, 77), (200, 130)])
@pytest.mark.parametrize("native", [False, True])
def test_any_size_keeps_its_size_and_range(model_path: Path, size: tuple[int, int], native: bool) -> None:
    model = load_model(model_path)
    assert model.guidance is not None
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    enhanced = enhance_image(model, image, model.guidance, native=native)
    assert enhanced.shape == image.shape
    assert 0 <= float(enhanced.min()) <= float(enhanced.max()) <= 1


def test_the_full_images_own_detail_survives_the_smaller_network(model_path: Path) -> None:
    """A pixel-wise checkerboard is invisible at half the size; it must still be there after enhancement."""
    model = load_model(model_path)
    assert model.guidance is not None
    board = (torch.arange(96).view(-1, 1) + torch.arange(96)) % 2
    image = 0.5 + 0.1 * (board.float() - 0.5).expand(3, -1, -1)
    enhanced = enhance_image(model, image, model.guidance)
    step = (enhanced - image)[:, 1:] - (enhanced - image)[:, :-1]
    assert float(step.abs().max()) < 0.05


class Checkerboard:
    """Changes an image by what no smaller one can show."""

    channels, image_size = 3, 48

    def run(self, images: torch.Tensor, guidance: torch.Tensor | None) -> torch.Tensor:
        board = (torch.arange(48).view(-1, 1) + torch.arange(48)) % 2
        return images + 0.4 * (board.float() - 0.5)


def test_a_change_too_fine_for_a_small_image_does_not_show() -> None:
    """Every third pixel of it would be another checkerboard."""
    image = torch.full((3, 16, 16), 0.5)
    assert float((enhance_with(Checkerboard(), image, None) - image).abs().max()) < 0.02


def test_a_folder_keeps_names_formats_sizes_and_depths(model_path: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(source / "a.png")
    Image.fromarray(rng.integers(0, 255, (50, 50), dtype=np.uint8)).save(source / "deeper" / "b.jpg")
    Image.fromarray(rng.integers(0, 65535, (33, 20), dtype=np.uint16)).save(source / "c.tif")
    output = tmp_path / "out"
    assert main(["enhance", "--model", str(model_path), "--input", str(source), "--output", str(output)]) == 0
    assert sorted(p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()) == [
        "a.png",
        "c.tif",
        "deeper/b.jpg",
    ]
    assert Image.open(output / "a.png").size == (60, 40)
    assert Image.open(output / "deeper" / "b.jpg").mode == "L"
    assert np.asarray(Image.open(output / "c.tif")).dtype == np.uint16


def test_one_bad_image_is_named_and_the_others_are_enhanced(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(source / "good.png")
    code = main(
        ["enhance", "--model", str(model_path), "--input", str(source), "--output", str(tmp_path / "out")]
    )
    assert code == ExitCode.DATA
    assert "bad.png" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.png"]


def test_tiles_may_lie_side_by_side(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the refusal of an overlap recommends, 0 among it, is taken."""
    Image.fromarray(np.full((80, 70, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["--model", str(model_path), "--input", str(tmp_path / "a.png"), "--at", "native"]
    arguments += ["--output", str(tmp_path / "out"), "--tile", "64", "--overlap"]
    assert main(["enhance", *arguments, "48"]) == ExitCode.CONFIGURATION
    assert "Give 0 to 32 pixels" in capsys.readouterr().err
    assert main(["enhance", *arguments, "0"]) == 0
    assert (tmp_path / "out" / "a.png").exists()
    with pytest.raises(SystemExit):
        main(["enhance", *arguments, "-1"])


def test_the_input_is_never_overwritten(model_path: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["--model", str(model_path), "--input", str(tmp_path / "a.png"), "--output", str(tmp_path)]
    assert main(["enhance", *arguments]) == ExitCode.OUTPUT


def test_an_empty_folder_is_refused(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [
        "--model",
        str(model_path),
        "--input",
        str(tmp_path / "empty"),
        "--output",
        str(tmp_path / "o"),
    ]
    assert main(["enhance", *arguments]) == ExitCode.DATA


def test_a_guide_image_is_used(tiny_experiment: Experiment, tmp_path: Path) -> None:
    model, path = lively_model(tiny_experiment), tmp_path / "model.safetensors"
    assert model.guidance is not None
    with torch.no_grad():
        model.networks.generator.last.weight.mul_(10)  # what guides shows in 8 bits
    save_model(path, model.networks, tiny_experiment, guidance=model.guidance)
    for name, seed in (("a.png", 0), ("guide.png", 1)):
        pixels = 255 * smooth_image(32, 32, seed=seed)[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
    common = ["enhance", "--model", str(path), "--input", str(tmp_path / "a.png")]
    assert main([*common, "--output", str(tmp_path / "stored")]) == 0
    assert main([*common, "--output", str(tmp_path / "guided"), "--guide", str(tmp_path / "guide.png")]) == 0
    stored, guided = (read_image(tmp_path / folder / "a.png") for folder in ("stored", "guided"))
    assert (guided - stored).abs().max() > 10 / 255
    image, guide = read_image(tmp_path / "a.png"), read_image(tmp_path / "guide.png")
    cue = image_guidance(model.networks, guide, tiny_experiment.image_size, torch.device("cpu"))
    for found, vector in ((stored, model.guidance), (guided, cue)):
        torch.testing.assert_close(found, enhance_image(model, image, vector), rtol=0, atol=0.6 / 255)
