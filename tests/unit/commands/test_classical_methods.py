"""The classical methods as a person calls them: images, figures, and what a segmentor learns from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from hqgnet import cli
from hqgnet.classical import CLASSICAL
from hqgnet.config import Experiment
from hqgnet.data.reading import read_image
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.errors import ExitCode
from hqgnet.method_config import CLASSICAL_METHODS
from hqgnet.metrics.full_reference import psnr
from hqgnet.model_file import load_model
from tests.unit.classical.scenes import scene

FROZEN = {"enhancer_trained_in_cooperate": False}
NONE, ROUND = {"rounds": 0, "steps": 1}, {"rounds": 1, "steps": 3}


def test_the_command_knows_all_of_them() -> None:
    assert cli._CLASSICAL == CLASSICAL_METHODS == tuple(CLASSICAL)


@pytest.mark.parametrize("method", CLASSICAL_METHODS)
def test_enhance_needs_no_model_and_keeps_colours_as_they_are(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name, channels in (("grey.png", 1), ("colour.png", 3)):
        pixels = (scene(channels).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(given / name)
    call = ["enhance", "--method", method, "--input", str(given), "--output", str(tmp_path / "out")]
    assert cli.main(call) == 0
    assert "2 of 2 images enhanced" in capsys.readouterr().out
    for name, mode in (("grey.png", "L"), ("colour.png", "RGB")):
        assert Image.open(tmp_path / "out" / name).mode == mode
        expected = CLASSICAL[method](read_image(given / name))  # type: ignore[index]
        found = read_image(tmp_path / "out" / name)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.51 / 255)


def test_options_of_networks_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "a.png")
    call = ["enhance", "--method", "ata", "--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "o")]
    wrong = [
        "--guide",
        "g.png",
        "--tile",
        "16",
        "--overlap",
        "0",
        "--at",
        "trained",
        "--precision",
        "bfloat16",
    ]
    assert cli.main([*call, *wrong]) == ExitCode.CONFIGURATION
    said = capsys.readouterr().err
    for option in ("--guide", "--tile", "--overlap", "--at", "--precision"):
        assert f"error: {option}: ata has no network" in said
    with pytest.raises(SystemExit):
        cli.main([*call, "--model", "m.safetensors"])
    assert "not allowed with" in capsys.readouterr().err


def test_evaluate_gives_the_figures_of_a_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"train_lq": 2, "train_hq": 2, "validation_lq": 1, "test_lq": 2, "test_hq": 1}
    (site,) = make_sites("ccm", 1, 3, tmp_path / "sites", size=48, **counts)
    call = ["evaluate", "--site", str(site)]
    file = tmp_path / "row.json"
    assert cli.main([*call, "--method", "caefi", "--size", "48", "--json", str(file)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == json.loads(file.read_text()) and row["split"] == "test"
    items = SiteData.open(load_site_config(site)).evaluation_items("test", 48)
    expected = [
        float(psnr(CLASSICAL["caefi"](item.lq)[None], item.twin[None]))
        for item in items
        if item.twin is not None
    ]
    assert row["psnr_enhanced"] == pytest.approx(np.mean(expected))


def test_evaluate_refuses_what_a_method_or_a_model_does_not_take(
    tiny_site_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["evaluate", "--site", str(tiny_site_files[0])]
    assert cli.main([*call, "--method", "ata", "--guides", "all"]) == ExitCode.CONFIGURATION
    assert "error: --guides: ata takes no guide" in capsys.readouterr().err
    assert cli.main([*call, "--model", "m.safetensors", "--size", "48"]) == ExitCode.CONFIGURATION
    assert "error: --size: a model is judged at the size" in capsys.readouterr().err


def test_a_segmentor_learns_from_a_methods_images(
    tiny_experiment: Experiment,
    tiny_site_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = json.loads(tiny_experiment.to_json()) | {"method": "ata", "downstream": FROZEN}
    given |= {"phases": {"pretrain": NONE, "enhance": NONE, "cooperate": ROUND}}
    file, model = tmp_path / "experiment.yaml", tmp_path / "model.safetensors"
    file.write_text(yaml.safe_dump(given))
    site = ["--site", str(tiny_site_files[0])]
    assert cli.main(["train", str(file), *site, "--output", str(model)]) == 0
    assert "cooperate 1/1  segmentation" in capsys.readouterr().out
    assert {name.split(".")[0] for name in load_model(model).networks.state_dict()} == {"task"}
    assert cli.main(["evaluate", "--model", str(model), *site]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["dice_enhanced"] is not None and row["psnr_enhanced"] != row["psnr_original"]
    image = next((tiny_site_files[0].parent / "images").rglob("*.png"))
    call = ["enhance", "--model", str(model), "--input", str(image), "--output", str(tmp_path / "out")]
    assert cli.main(call) == 0
    found = read_image(tmp_path / "out" / image.name)
    torch.testing.assert_close(found, CLASSICAL["ata"](read_image(image)), rtol=0, atol=0.51 / 255)
    call = ["export", "--model", str(model), "--to", "onnx", "--output", str(tmp_path / "exported")]
    assert cli.main(call) == ExitCode.CONFIGURATION
    assert "hqgnet enhance --method ata" in capsys.readouterr().err
