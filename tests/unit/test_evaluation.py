"""Scores: sums that merge exactly, checked at the border, and figures that mean what they say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hqgnet.cli import main
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError
from hqgnet.evaluation import evaluate_site, write_pictures
from hqgnet.guidance import mean_guidance, site_guidance
from hqgnet.model_file import save_model
from hqgnet.networks import Networks, build_networks
from hqgnet.scores import SiteScores

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks(tiny_experiment: Experiment) -> Networks:
    return build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5)


@pytest.fixture(scope="module")
def scores(networks: Networks, tiny_sites: list[SiteData], tiny_experiment: Experiment) -> list[SiteScores]:
    guidance = torch.zeros(1, 64)
    return [
        evaluate_site(networks, site, guidance, 48, "test", with_task=True, metrics=tiny_experiment.metrics)
        for site in tiny_sites
    ]


def test_all_metrics_of_a_fundus_site_are_there(scores: list[SiteScores], tiny_sites: list[SiteData]) -> None:
    row = scores[0].row()
    assert row["images"] == len(tiny_sites[0].lq["test"])
    for metric in ("psnr", "ssim", "average_gradient", "entropy", "dice", "auc", "g_mean", "dice_image"):
        for version in ("original", "enhanced"):
            assert row[f"{metric}_{version}"] is not None, metric


def test_merged_sums_are_the_figures_of_the_union(scores: list[SiteScores]) -> None:
    merged = (scores[0] + scores[1]).row()
    counts = [score.images for score in scores]
    rows = [score.row() for score in scores]
    expected = sum((row["psnr_enhanced"] or 0) * n for row, n in zip(rows, counts, strict=True)) / sum(counts)
    assert merged["psnr_enhanced"] == pytest.approx(expected, abs=1e-9)
    assert merged["images"] == sum(counts)


def test_json_round_trip_is_exact(scores: list[SiteScores]) -> None:
    again = SiteScores.from_json(json.loads(json.dumps(scores[0].to_json())))
    assert again.row() == scores[0].row()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.update(images=-1),
        lambda data: data.update(images=True),
        lambda data: data.update(more=1),
        lambda data: data.pop("means"),
        lambda data: data["means"].update(psnr_secret=data["means"]["psnr_enhanced"]),
        lambda data: data["means"]["psnr_enhanced"].update(sum=float("nan")),
        lambda data: data["segmentation"].update(other={}),
    ],
)
def test_malformed_scores_are_refused(scores: list[SiteScores], damage: Any) -> None:
    data = copy.deepcopy(scores[0].to_json())
    damage(data)
    with pytest.raises(DataError):
        SiteScores.from_json(data)


def test_an_untrained_task_is_not_judged(networks: Networks, tiny_sites: list[SiteData]) -> None:
    scores = evaluate_site(
        networks, tiny_sites[0], torch.zeros(1, 64), 48, "test", with_task=False, metrics=["psnr"]
    )
    assert not scores.segmentation
    assert scores.gaps()["segmentation"].text == "no trained downstream network"


def test_the_mean_cue_is_the_mean_over_hq_training_images(
    networks: Networks, tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    vector, count = mean_guidance(networks, tiny_sites[:1], 48, CPU)
    assert vector is not None and vector.shape == (64,)
    assert count == len(tiny_sites[0].hq["train"])
    guide = site_guidance(networks, tiny_sites[0], tiny_experiment, CPU)
    assert guide is not None and guide.shape == (1, 64)


def test_pictures_have_numbers_for_names(
    networks: Networks, tiny_sites: list[SiteData], tmp_path: Path
) -> None:
    written = write_pictures(networks, tiny_sites[0], torch.zeros(1, 64), 48, tmp_path, 2, with_task=True)
    assert [path.name for path in written] == ["test-000.png", "test-001.png"]


def test_the_command_prints_and_writes_the_row(
    networks: Networks,
    tiny_experiment: Experiment,
    tiny_site_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "model.safetensors"
    save_model(model, networks, tiny_experiment, guidance=torch.zeros(64), details={"task_trained": True})
    site, out = str(tiny_site_files[0]), tmp_path / "row.json"
    assert main(["evaluate", "--model", str(model), "--site", site, "--json", str(out)]) == 0
    row = json.loads(out.read_text())
    assert row["site"] == "site-1"
    assert row == json.loads(capsys.readouterr().out)
    assert row["psnr_enhanced"] > 0
