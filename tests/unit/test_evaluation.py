"""Scores: sums that merge exactly, checked at the border, and figures that mean what they say."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hqgnet import evaluation
from hqgnet.cli import main
from hqgnet.config import Experiment
from hqgnet.data.site_data import EvaluationItem, SiteData
from hqgnet.data.site_files import Sample
from hqgnet.errors import DataError
from hqgnet.evaluation import Judged, evaluate_site, score, write_pictures
from hqgnet.guidance import mean_guidance, site_guidance
from hqgnet.metrics.classification import classification_update
from hqgnet.metrics.names import Reason
from hqgnet.metrics.no_reference import entropy
from hqgnet.metrics.quality import QualityClassifier, QualityNetwork
from hqgnet.metrics.segmentation import SegmentationSums, segmentation_update
from hqgnet.metrics.sums import MeanSums
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


def with_test_images(site: SiteData, samples: Iterable[Sample]) -> SiteData:
    return replace(site, lq={**site.lq, "test": tuple(samples)})


def test_merged_sums_are_the_figures_of_the_union(
    networks: Networks, tiny_sites: list[SiteData], scores: list[SiteScores]
) -> None:
    metrics = ["psnr", "entropy"]
    first, second = tiny_sites[0].lq["test"], tiny_sites[1].lq["test"]
    assert len(second) == 3

    def evaluated(*samples: Sample) -> SiteScores:
        site = with_test_images(tiny_sites[0], samples)
        return evaluate_site(networks, site, torch.zeros(1, 64), 48, "test", with_task=True, metrics=metrics)

    small, large, union = evaluated(first[0]), evaluated(*second), evaluated(first[0], *second)
    merged = small + large
    assert merged == union and merged.row() == union.row()
    # Neither figure is the mean over sites: a hospital of three images weighs thrice as much as one of one.
    for name in ("psnr_enhanced", "entropy_original", "dice_enhanced", "auc_image_original"):
        of_sites = [small.row()[name], large.row()[name]]
        assert of_sites[0] is not None and of_sites[1] is not None
        assert merged.row()[name] != pytest.approx(sum(of_sites) / 2, abs=1e-6), name  # type: ignore[arg-type]


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
        # An int64 sum over 4096 bins of 2^53 would wrap.
        lambda data: data["segmentation"]["enhanced"].update(positive_scores=[2**53] * 4096),
        lambda data: data["segmentation"]["enhanced"]["positive_scores"].__setitem__(9, 2**47),
        lambda data: data["segmentation"]["enhanced"]["per_image"]["dice"].update(sum=4.0),
        lambda data: data["segmentation"]["enhanced"]["per_image"]["sen"].update(undefined=3),
        lambda data: data["means"]["psnr_enhanced"].update(count=10**6, sum=1e7),
        lambda data: data["means"]["psnr_enhanced"].update(undefined=1),
        lambda data: data["means"]["psnr_enhanced"].update(sum=301.0),
        lambda data: data["means"]["psnr_enhanced"].update(sum_of_squares=40_000.0),
        lambda data: data["means"]["ssim_original"].update(sum=-3.5),
        lambda data: data["means"]["entropy_original"].update(sum=25.0),
        lambda data: data["means"].update(s_hq_auc=MeanSums(3.0, 3.0, 2).to_json()),
        lambda data: data["means"].update(niqe_enhanced=MeanSums(-9.0, 27.0, 3).to_json()),
        lambda data: data["means"].update(snr_3_enhanced=MeanSums(1e299, 1e299, 3).to_json()),
        lambda data: data["grading"].update(enhanced={"confusion": [[1] * 4] * 4, "undefined": 0}),
        lambda data: data["grading"].update(enhanced={"confusion": [[0] * 4] * 4, "undefined": 4}),
    ],
)
def test_malformed_scores_are_refused(scores: list[SiteScores], damage: Any) -> None:
    data = copy.deepcopy(scores[0].to_json())
    damage(data)
    with pytest.raises(DataError):
        SiteScores.from_json(data)


def test_scores_at_the_edge_of_what_can_be_are_taken() -> None:
    perfect = MeanSums.of([100.0, 100.0])  # an image that equals its twin has an infinite PSNR, told as 100
    means = {"psnr_enhanced": perfect, "ssim_enhanced": MeanSums.of([1.0000002] * 2)}
    means |= {"brisque_enhanced": MeanSums.of([-0.1, 103.0]), "snr_3_enhanced": MeanSums.of([-4.0])}
    means |= {"piqe_enhanced": MeanSums.of([100.4, 100.2]), "psnr_original": MeanSums.of([math.inf, -0.0])}
    # The classifier's AUC is taken over validation and test images, LQ and HQ: more than are judged.
    means |= {"s_hq_auc": MeanSums.of([1.0] * 50)}
    whole = torch.ones(1, 1, 8, 8)
    said = segmentation_update(whole, whole) + segmentation_update(0 * whole, 0 * whole)
    none = SegmentationSums()
    grades = classification_update(torch.eye(4)[:2], torch.tensor([0, 1]))
    scores = SiteScores(2, means, {"original": said, "enhanced": none}, {"enhanced": grades})
    assert SiteScores.from_json(json.loads(json.dumps(scores.to_json()))) == scores
    assert SiteScores.from_json(SiteScores().to_json()) == SiteScores()


def test_the_classifiers_auc_stands_beside_a_sites_figures_and_in_no_union(
    networks: Networks, tiny_sites: list[SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    quality = QualityClassifier(QualityNetwork(3).eval(), 3, 32, 0.75, (9, 4))
    monkeypatch.setattr(evaluation, "site_quality", lambda data: quality)
    guidance = torch.zeros(1, 64)
    scores = evaluate_site(networks, tiny_sites[0], guidance, 48, "test", with_task=False, metrics=["s_hq"])
    assert set(scores.means) == {"s_hq_original", "s_hq_enhanced", "s_hq_auc"}
    # As often as there are images of the rarer kind: that number is held against the hospital's minimum.
    assert scores.means["s_hq_auc"] == MeanSums.of([0.75] * 4)
    assert scores.row()["s_hq_auc"] == 0.75
    union = scores + scores
    assert "s_hq_auc" not in union.row() and union.row()["s_hq_enhanced"] == scores.row()["s_hq_enhanced"]


def test_both_versions_of_an_image_have_a_figure_or_neither(tiny_sites: list[SiteData]) -> None:
    good, other, *_ = tiny_sites[0].evaluation_items("test", 48)
    sound = score(Judged(good, good.lq.unsqueeze(0), {}), "fundus", ["entropy", "psnr"])
    black = torch.full_like(other.lq, math.nan)
    both = sound + score(Judged(other, black.unsqueeze(0), {}), "fundus", ["entropy", "psnr"])
    # original -> enhanced (+gain) compares the same images: here a good one with itself.
    assert both.means["entropy_original"] == both.means["entropy_enhanced"]
    assert both.means["psnr_original"].undefined == both.means["psnr_enhanced"].undefined == 1
    assert both.counted("entropy") == 1 and both.gaps()["entropy"].reasons == [Reason.NOT_FINITE]


def segmented(item: EvaluationItem, original: Tensor, enhanced: Tensor) -> SiteScores:
    probability = {"original": original, "enhanced": enhanced}
    return score(Judged(item, item.lq.unsqueeze(0), probability), "fundus", [])


def test_a_prediction_that_is_not_finite_is_undefined_with_its_reason(tiny_sites: list[SiteData]) -> None:
    item = next(iter(tiny_sites[0].evaluation_items("test", 48)))
    assert item.mask is not None
    good = item.mask.unsqueeze(0)
    sound, broken = segmented(item, good, good), segmented(item, good, good * math.nan)
    assert sound.gaps().keys() == {"grading"}
    assert broken.reasons["segmentation"] == {Reason.NOT_FINITE}
    for sums in broken.segmentation.values():  # in both versions, or the gain would be over other images
        assert {(figure.count, figure.undefined) for figure in sums.per_image.values()} == {(0, 1)}
    gap = (sound + broken).gaps()["segmentation"]
    assert (gap.counted, gap.reasons) == (1, [Reason.NOT_FINITE])
    graded = replace(item, grade=2)
    levels = {"original": torch.eye(4)[2:3], "enhanced": torch.full((1, 4), math.nan)}
    scores = score(Judged(graded, item.lq.unsqueeze(0), {}, levels), "ccm", [])
    assert scores.reasons["grading"] == {Reason.NOT_FINITE}
    assert [sums.undefined for sums in scores.grading.values()] == [1, 1]
    assert scores.counted("grading") == 0


def test_an_empty_mask_is_undefined_with_its_reason(tiny_sites: list[SiteData]) -> None:
    item = next(iter(tiny_sites[0].evaluation_items("test", 48)))
    assert item.mask is not None
    empty = replace(item, mask=torch.zeros_like(item.mask))
    said = torch.full((1, *item.mask.shape), 0.25)
    scores = segmented(empty, said, said)
    assert scores.reasons["segmentation"] == {Reason.NOTHING}
    assert scores.segmentation["enhanced"].per_image["sen"].undefined == 1
    # Every image has a Dice: the table has no gap to explain.
    assert scores.counted("segmentation") == 1 and "segmentation" not in scores.gaps()


def test_a_black_border_moves_no_score_of_a_colonoscopy_frame(tiny_sites: list[SiteData]) -> None:
    item = next(iter(tiny_sites[0].evaluation_items("test", 48)))
    texture = 0.4 + 0.3 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(4))
    names = ("average_gradient", "entropy", "piqe", "brisque")

    def scored(image: Tensor) -> SiteScores:
        framed = replace(item, lq=image, mask=None, twin=None)
        return score(Judged(framed, image.unsqueeze(0), {}), "colonoscopy", names)

    inside = torch.zeros(1, 64, 64)
    inside[:, :, 16:] = 1
    bordered = scored(texture * inside)
    for level in (0.01, 0.02):  # whatever black the endoscope leaves there
        border = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(5)) * level
        assert scored(torch.where(inside > 0, texture, border)) == bordered
    # Without a border the whole frame counts, as it would without any field of view.
    plain = scored(texture).means["entropy_original"].sum
    assert plain == pytest.approx(float(entropy(texture.unsqueeze(0))), abs=1e-8)


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
