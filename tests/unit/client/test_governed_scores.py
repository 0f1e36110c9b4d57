"""Which scores, and whether the mean cue, leave a site."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.governor import Governor
from client.message import Asked
from hqgnet.data.grades import LEVELS
from hqgnet.exchange.arrays import digest_arrays
from hqgnet.exchange.update import (
    EvaluateRequest,
    SiteError,
    read_message,
)
from hqgnet.metrics.classification import ClassificationSums
from hqgnet.metrics.names import Reason
from hqgnet.metrics.segmentation import SegmentationSums
from hqgnet.metrics.sums import MeanSums
from hqgnet.scores import SiteScores
from tests.unit.client.recorded_site import Recorded, SiteWith, events, scores_of

ROOT = Path(__file__).parents[3]


def test_only_allowed_metrics_leave(requests: dict[str, Asked], site: Recorded, site_with: SiteWith) -> None:
    full, _ = scores_of(site.answers["evaluate"])
    governor = Governor(site_with(policy={"metrics": ["psnr", "average_gradient"]}), "simulation")
    some, _ = scores_of(governor.answer(requests["evaluate"], site))
    wanted = {name for name in full.means if name.startswith(("psnr", "average_gradient"))}
    assert len(wanted) == 4 and set(full.segmentation) == {"original", "enhanced"}
    kept_back = {name.rpartition("_")[0] for name in full.means} - {"psnr", "average_gradient"}
    withheld = frozenset({Reason.WITHHELD})
    reasons = dict.fromkeys({*kept_back, "segmentation"}, withheld)
    assert some == SiteScores(full.images, {name: full.means[name] for name in wanted}, reasons=reasons)
    governor = Governor(site_with(policy={"metrics": ["segmentation"]}), "simulation")
    pixels, _ = scores_of(governor.answer(requests["evaluate"], site))
    assert (pixels.means, pixels.segmentation) == ({}, full.segmentation)
    assert pixels.reasons == dict.fromkeys({name.rpartition("_")[0] for name in full.means}, withheld)


def test_scores_have_no_part_without_a_rule() -> None:
    # A new part of the scores stays at home until client.policy names it.
    assert {field.name for field in fields(SiteScores)} == {
        "images",
        "means",
        "segmentation",
        "grading",
        "reasons",
    }


def test_sums_over_few_images_stay(requests: dict[str, Asked], site: Recorded, site_with: SiteWith) -> None:
    histogram = np.zeros(4096, np.int64)
    histogram[5] = 100
    enough, few, none = MeanSums.of([1.0] * 5), MeanSums.of([1.0] * 4), MeanSums.of([math.nan] * 5)
    figures = dict.fromkeys(("auc", "acc", "sen", "spe", "dice", "g_mean"), enough)
    scores = SiteScores(
        5,
        {"psnr_original": few, "psnr_enhanced": enough, "ssim_enhanced": none},
        {
            "original": SegmentationSums(histogram, histogram, figures | {"sen": none}),
            # One image alone has something on its mask: the histogram of positives would be its own.
            "enhanced": SegmentationSums(histogram, histogram, figures | {"sen": MeanSums.of([0.5])}),
        },
    )
    site.change("evaluate", scores=scores.to_json())
    answered = Governor(site_with(policy={"minimum_images_for_metrics": 5}), "simulation").answer(
        requests["evaluate"], site
    )
    kept, _ = scores_of(answered)
    withheld = dict.fromkeys(("psnr", "ssim", "segmentation"), frozenset({Reason.WITHHELD}))
    segmentation = {"original": scores.segmentation["original"]}
    assert kept == SiteScores(5, {"psnr_enhanced": enough}, segmentation, reasons=withheld)
    # A hidden number of images is not told by the sums either.
    hiding = Governor(site_with(policy={"smallest_count": 6, "minimum_images": 6}), "simulation")
    kept, header = scores_of(hiding.answer(requests["evaluate"], site))
    assert (kept, header.guidance_images) == (SiteScores(reasons=withheld), 8)
    plain = Governor(site_with(), "simulation").answer(requests["evaluate"], site)
    assert scores_of(plain) == scores_of(site.answers["evaluate"])


def under(
    policy: dict[str, Any],
    scores: SiteScores,
    requests: dict[str, Asked],
    site: Recorded,
    site_with: SiteWith,
) -> SiteScores:
    """What of some scores leaves under a policy."""
    site.change("evaluate", scores=scores.to_json())
    return scores_of(Governor(site_with(policy=policy), "simulation").answer(requests["evaluate"], site))[0]


def test_a_small_number_of_images_without_a_figure_is_not_told(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    most, all_of_them = MeanSums.of([1.0] * 10 + [math.nan] * 2), MeanSums.of([1.0] * 12)
    lacking = MeanSums.of([1.0] * 8 + [math.nan] * 4)
    histogram = np.full(4096, 9, np.int64)
    figures = dict.fromkeys(("auc", "acc", "sen", "spe", "dice", "g_mean"), all_of_them)
    few_empty = SegmentationSums(histogram, histogram, figures | {"sen": most})
    many_empty = SegmentationSums(histogram, histogram, figures | {"sen": lacking})
    scores = SiteScores(
        12,
        {"psnr_enhanced": most, "ssim_enhanced": lacking, "entropy_original": all_of_them},
        {"original": many_empty, "enhanced": few_empty},
    )
    told = under({"smallest_count": 4, "minimum_images": 4}, scores, requests, site, site_with)
    # 0 in its place would not do: the number of images is told, and how many have a figure.
    withheld = dict.fromkeys(("psnr", "segmentation"), frozenset({Reason.WITHHELD}))
    means = {"ssim_enhanced": lacking, "entropy_original": all_of_them}
    assert told == SiteScores(12, means, {"original": many_empty}, reasons=withheld)
    # minimum_images_for_metrics is about images behind a sum; those without a figure are behind none.
    assert under({"minimum_images_for_metrics": 6}, scores, requests, site, site_with) == scores


@pytest.mark.parametrize(
    ("cells", "undefined", "leaves"),
    [
        ([[9, 4], [0, 6]], 0, True),
        ([[9, 1], [0, 6]], 0, False),  # a single image of level 0 was taken for level 1
        ([[9, 0], [0, 2]], 0, False),
        ([[9, 4], [0, 6]], 3, False),
        ([[9, 4], [0, 6]], 4, True),
    ],
)
def test_a_small_number_of_graded_images_is_not_told(
    cells: list[list[int]],
    undefined: int,
    leaves: bool,
    requests: dict[str, Asked],
    site: Recorded,
    site_with: SiteWith,
) -> None:
    confusion = np.zeros((LEVELS, LEVELS), np.int64)
    confusion[:2, :2] = cells
    scores = SiteScores(30, grading={"enhanced": ClassificationSums(confusion, undefined)})
    told = under({"smallest_count": 4, "minimum_images": 4}, scores, requests, site, site_with)
    withheld = SiteScores(30, reasons={"grading": frozenset({Reason.WITHHELD})})
    assert told == (scores if leaves else withheld)
    # By default nothing is withheld.
    assert under({}, scores, requests, site, site_with) == scores


@pytest.mark.parametrize(("lacking", "leaves"), [(0, True), (3, False), (4, True)])
def test_a_small_number_of_images_without_mask_or_grade_is_not_told(
    lacking: int, leaves: bool, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    histogram = np.full(4096, 9, np.int64)
    figures = dict.fromkeys(("auc", "acc", "sen", "spe", "dice", "g_mean"), MeanSums.of([1.0] * 8))
    confusion = np.zeros((LEVELS, LEVELS), np.int64)
    confusion[0, 0] = 8
    scores = SiteScores(
        8 + lacking,
        segmentation={"enhanced": SegmentationSums(histogram, histogram, figures)},
        grading={"enhanced": ClassificationSums(confusion)},
        reasons={"segmentation": frozenset({Reason.NO_MASK}), "grading": frozenset({Reason.NO_GRADE})},
    )
    told = under({"smallest_count": 4, "minimum_images": 4}, scores, requests, site, site_with)
    # The number of images is told: less those with a mask it would give the number of those without.
    withheld = dict.fromkeys(("segmentation", "grading"), frozenset({Reason.WITHHELD}))
    assert told == (scores if leaves else SiteScores(8 + lacking, reasons=withheld))
    assert under({"minimum_images_for_metrics": 8}, scores, requests, site, site_with) == scores


@pytest.mark.parametrize(
    ("policy", "leaves"),
    [
        ({}, True),
        ({"minimum_images_for_metrics": 5}, True),
        ({"minimum_images_for_metrics": 6}, False),
        ({"smallest_count": 5, "minimum_images": 5}, True),
        ({"smallest_count": 6, "minimum_images": 6}, False),
        ({"metrics": ["psnr"]}, False),
    ],
)
def test_the_classifiers_auc_leaves_over_enough_images_of_either_kind_and_tells_not_of_how_many(
    policy: dict[str, Any], leaves: bool, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    # The judgement has it as often as there are images of the rarer kind.
    scores = SiteScores(9, {"s_hq_auc": MeanSums.of([0.75] * 5), "psnr_enhanced": MeanSums.of([20.0] * 9)})
    told = under(policy, scores, requests, site, site_with)
    auc = {"s_hq_auc": MeanSums.of([0.75])} if leaves else {}
    # Nothing is said of S_HQ itself, whose figures are others.
    assert told == SiteScores(9, auc | {"psnr_enhanced": scores.means["psnr_enhanced"]})


@pytest.mark.parametrize(
    ("keys", "wanted", "leaves"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"share_guidance": False}, True, False),
        ({"minimum_images_for_guidance": 9}, True, False),
        ({"policy": {"smallest_count": 9, "minimum_images": 9}}, True, False),
    ],
)
def test_the_mean_cue_leaves_only_if_it_may(
    keys: dict[str, Any],
    wanted: bool,
    leaves: bool,
    requests: dict[str, Asked],
    site: Recorded,
    site_with: SiteWith,
) -> None:
    request = read_message(requests["evaluate"].text, EvaluateRequest)
    asked = replace(requests["evaluate"], text=request.model_copy(update={"want_guidance": wanted}).to_json())
    file = site_with(**keys)
    answered = Governor(file, "simulation").answer(asked, site)
    assert answered.code is None and (answered.guidance is not None) is leaves
    assert scores_of(answered)[1].guidance_images == (8 if leaves else 0)
    told = events(file)[-1]["facts"].get("guidance_digest")
    assert told == (digest_arrays({"guidance": answered.guidance}) if answered.guidance is not None else None)
    site.answers["evaluate"] = replace(site.answers["evaluate"], guidance=np.zeros(65, np.float32))
    answered = Governor(site_with(**keys), "simulation").answer(asked, site)
    assert (answered.code is SiteError.INTERNAL) is leaves and answered.guidance is None
