"""Every enhancer and downstream network: fifty steps a phase on synthetic sites; saved, used, judged."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from hqgnet.cli import main
from hqgnet.data.synthetic.sites import make_sites

pytestmark = pytest.mark.slow

SIZE, ROUNDS, STEPS = 64, 5, 10
CHANNELS = {"fundus": 3, "ccm": 1, "colonoscopy": 3}

# By name: modality, keys of the experiment, and which losses of phase enhance have to fall.
SYSTEMS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "hqgnet-csnet-fundus": ("fundus", {}, ["feature_consistency"]),
    "hqgnet-csnet-ccm": ("ccm", {"output": "logit"}, ["feature_consistency"]),
    "hqgnet-pnsnet-colonoscopy": (
        "colonoscopy",
        {"downstream": {"network": "pnsnet"}},
        ["feature_consistency"],
    ),
    "hqgnet-deepgrading-ccm": (
        "ccm",
        {"output": "logit", "downstream": {"network": "deepgrading", "task": "grading"}},
        ["feature_consistency"],
    ),
    "stillgan-csnet-fundus": ("fundus", {"method": "stillgan"}, ["enhancement", "cycle", "identity"]),
    "stillgan-csnet-ccm": ("ccm", {"method": "stillgan"}, ["enhancement", "cycle", "identity"]),
    # It begins at the identity, where its own loss is least: what falls is its adversary's.
    "enlightengan-csnet-fundus": ("fundus", {"method": "enlightengan"}, ["discriminator_image"]),
    "enlightengan-pnsnet-colonoscopy": (
        "colonoscopy",
        {"method": "enlightengan", "downstream": {"network": "pnsnet"}},
        ["discriminator_image"],
    ),
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a site of each modality."""
    counts = {"train_lq": 24, "train_hq": 24, "validation_lq": 2, "test_lq": 4, "test_hq": 2}
    return {
        modality: make_sites(modality, 1, 1, tmp_path_factory.mktemp(modality), size=SIZE, **counts)[0]
        for modality in CHANNELS
    }


def experiment_file(folder: Path, modality: str, keys: dict[str, Any]) -> Path:
    phases = {name: {"rounds": ROUNDS, "steps": STEPS} for name in ("pretrain", "enhance", "cooperate")}
    phases["pretrain"]["learning_rate"] = 0.002  # type: ignore[assignment]
    if keys.get("method") == "stillgan":
        phases["pretrain"]["rounds"] = 0
    given: dict[str, Any] = {
        "name": "fifty-steps",
        "seed": 1,
        "modality": modality,
        "channels": CHANNELS[modality],
        "image_size": SIZE,
        "preset": "tiny",
        "training": {
            "batch_size": 4,
            "learning_rate": 0.0005,
            "task_learning_rate": 0.003,
            "segmentation_loss": "bce_dice",
        },
        "phases": phases,
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(given | keys))
    return file


def losses(printed: str) -> dict[str, list[dict[str, float]]]:
    """Return what `hqgnet train` printed: by phase, the mean losses of every ten steps."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for line in printed.splitlines():
        if match := re.match(r"(pretrain|enhance|cooperate) +\d+/\d+  (.*)  [\d.]+ s$", line):
            parts = (part.rpartition(" ") for part in match[2].split("  "))
            found[match[1]].append({name: float(value) for name, _, value in parts})
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_learns_and_is_used(
    name: str, sites: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modality, keys, falling = SYSTEMS[name]
    site, model = str(sites[modality]), str(tmp_path / "model.safetensors")
    experiment = str(experiment_file(tmp_path, modality, keys))
    assert main(["train", experiment, "--site", site, "--output", model]) == 0
    told = losses(capsys.readouterr().out)
    assert all(len(rounds) == ROUNDS for rounds in told.values())
    assert all(math.isfinite(value) for rounds in told.values() for one in rounds for value in one.values())
    if "pretrain" in told:
        assert told["pretrain"][-1]["reconstruction"] < told["pretrain"][0]["reconstruction"]
    for loss in falling:
        # Against an adversary that learns too, a loss that has fallen may rise again.
        first, *later = (one[loss] for one in told["enhance"])
        assert min(later) < first, loss
    task = "grading" if "deepgrading" in name else "segmentation"
    assert told["cooperate"][-1][task] < told["cooperate"][0][task]

    assert main(["enhance", "--model", model, "--input", str(sites[modality].parent / "images" / "lq"),
                 "--output", str(tmp_path / "enhanced")]) == 0  # fmt: skip
    pictures = sorted((tmp_path / "enhanced").iterdir())
    assert len(pictures) == 24 + 2 + 4
    with Image.open(pictures[0]) as picture:
        assert picture.size == (SIZE, SIZE)

    figures = tmp_path / "figures.json"
    assert main(["evaluate", "--model", model, "--site", site, "--json", str(figures)]) == 0
    text = figures.read_text()
    said = json.loads(text)
    assert "NaN" not in text
    assert "psnr_enhanced" in text and ("grade_acc" if task == "grading" else "dice") in text, said
