"""Segmentation sums against counting by hand and brute-force AUC."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hqgnet.errors import DataError
from hqgnet.metrics.segmentation import BINS, FIGURES, SegmentationSums, segmentation_update


def batch(images: int = 4, side: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks and scores that know something of them."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand((images, 1, side, side), generator=generator) < 0.2).float()
    noise = torch.randn((images, 1, side, side), generator=generator)
    return torch.sigmoid(2 * mask - 1.2 + noise), mask


def brute_force_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties half."""
    difference = scores[truth][:, None] - scores[~truth][None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def test_hand_worked_image() -> None:
    probability = torch.tensor([[0.9, 0.6], [0.5, 0.1]])
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    sums = segmentation_update(probability, mask)
    assert (sums.tp, sums.fp, sums.fn, sums.tn) == (2, 1, 1, 0)
    figures = sums.compute()
    assert figures["acc"] == 0.5
    assert figures["sen"] == pytest.approx(2 / 3)
    assert figures["spe"] == 0
    assert figures["dice"] == pytest.approx(4 / 6)
    assert figures["g_mean"] == 0
    assert figures["auc"] == pytest.approx(1 / 3)  # of 0.9, 0.5 and 0.1 only the first beats 0.6


def test_pooled_and_per_image_figures_equal_numpy() -> None:
    probability, mask = batch()
    figures = segmentation_update(probability, mask).compute()

    def by_numpy(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        found = scores >= 0.5
        sen, spe = found[truth].mean(), (~found[~truth]).mean()
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        return {
            "acc": (found == truth).mean(),
            "sen": sen,
            "spe": spe,
            "dice": dice,
            "g_mean": math.sqrt(sen * spe),
        }

    scores, truth = probability.numpy(), mask.numpy() > 0.5
    images = [by_numpy(image, labels) for image, labels in zip(scores, truth, strict=True)]
    for name, value in by_numpy(scores, truth).items():
        assert figures[name] == pytest.approx(value, rel=1e-12)
        assert figures[f"{name}_image"] == pytest.approx(np.mean([image[name] for image in images]), abs=1e-9)


def test_auc_is_brute_force_on_the_binned_scores_and_near_the_exact_one() -> None:
    probability, mask = batch()
    scores, truth = probability.double().numpy().ravel(), mask.numpy().ravel() > 0.5
    figures = segmentation_update(probability, mask).compute()
    assert figures["auc"] == pytest.approx(brute_force_auc(np.floor(scores * BINS), truth), rel=1e-12)
    assert figures["auc"] == pytest.approx(brute_force_auc(scores, truth), abs=1e-4)
    each = [
        brute_force_auc(np.floor(image.double().numpy().ravel() * BINS), labels.numpy().ravel() > 0.5)
        for image, labels in zip(probability, mask, strict=True)
    ]
    assert figures["auc_image"] == pytest.approx(np.mean(each), abs=1e-9)


def test_auc_of_ties_and_of_perfect_order() -> None:
    mask = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert segmentation_update(torch.full((1, 4), 0.3), mask).compute()["auc"] == 0.5
    assert segmentation_update(torch.tensor([[0.0, 0.1, 0.2, 1.0]]), mask).compute()["auc"] == 1.0
    assert segmentation_update(torch.tensor([[1.0, 0.9, 0.2, 0.0]]), mask).compute()["auc"] == 0.0


def test_threshold_is_exactly_one_half() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    sums = segmentation_update(torch.tensor([[0.5, float(below), 1.0, 0.0]]), torch.ones(1, 4))
    assert (sums.tp, sums.fn) == (2, 2)


def test_any_partition_equals_the_union_exactly() -> None:
    probability, mask = batch(images=6)
    union = segmentation_update(probability, mask)
    order = [3, 0, 5, 1, 4, 2]
    parts = [segmentation_update(probability[i : i + 1], mask[i : i + 1]) for i in order]
    assert sum(parts, SegmentationSums()) == union
    halves = segmentation_update(probability[:3], mask[:3]) + segmentation_update(probability[3:], mask[3:])
    assert halves == union
    assert halves.compute() == union.compute()
    assert halves != parts[0]


def test_empty_mask() -> None:
    nothing = torch.zeros(1, 1, 4, 4)
    agreed = segmentation_update(nothing, nothing).compute()
    assert (agreed["dice"], agreed["dice_image"], agreed["acc"], agreed["spe"]) == (1, 1, 1, 1)
    assert agreed["sen"] is agreed["auc"] is agreed["g_mean"] is agreed["sen_image"] is None
    assert segmentation_update(torch.ones_like(nothing), nothing).compute()["dice"] == 0
    assert segmentation_update(nothing, torch.ones_like(nothing)).compute()["dice"] == 0


def test_no_image_has_no_figures() -> None:
    assert set(SegmentationSums().compute().values()) == {None}
    assert segmentation_update(torch.zeros(0, 1, 4, 4), torch.zeros(0, 1, 4, 4)) == SegmentationSums()


def test_an_image_with_nan_is_counted_as_undefined_and_leaves_the_pool_alone() -> None:
    probability, mask = batch(images=2)
    alone = segmentation_update(probability[:1], mask[:1])
    probability[1, 0, 3, 3] = math.nan
    both = segmentation_update(probability, mask)
    assert np.array_equal(both.positive_scores, alone.positive_scores)
    assert both.compute() == alone.compute()
    assert [both.per_image[name].undefined for name in FIGURES] == [1] * len(FIGURES)


def test_bfloat16_on_a_mask_of_booleans() -> None:
    probability, mask = batch(images=1)
    lowered = segmentation_update(probability.bfloat16(), mask.bool())
    assert lowered == segmentation_update(probability.bfloat16().float(), mask)


def test_logits_and_wrong_shapes_are_refused() -> None:
    probability, mask = batch(images=2)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        segmentation_update(probability * 4 - 2, mask)
    with pytest.raises(ValueError, match="one shape"):
        segmentation_update(probability, mask[:1])
    with pytest.raises(ValueError, match="one shape"):
        segmentation_update(probability[:, 0], mask[:, 0])
    overshoot = segmentation_update(torch.tensor([[1.0000001, -1e-7]]), torch.tensor([[1.0, 0.0]]))
    assert overshoot.compute()["acc"] == 1


def test_json_round_trip_is_exact() -> None:
    sums = segmentation_update(*batch())
    text = json.dumps(sums.to_json())
    again = SegmentationSums.from_json(json.loads(text))
    assert again == sums
    assert again.positive_scores.dtype == np.int64
    assert len(text) < 60_000


def without(name: str) -> Callable[[dict[str, Any]], object]:
    """Change that takes a field out."""
    return lambda payload: payload.pop(name)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (without("positive_scores"), "positive_scores"),
        (without("per_image"), "per_image"),
        (lambda payload: payload.update(extra=1), "extra"),
        (lambda payload: payload["positive_scores"].pop(), "positive_scores"),
        (lambda payload: payload["negative_scores"].__setitem__(7, -1), "negative_scores"),
        (lambda payload: payload["negative_scores"].__setitem__(7, 1.0), "negative_scores"),
        (lambda payload: payload["negative_scores"].__setitem__(7, True), "negative_scores"),
        (lambda payload: payload.update(positive_scores="0" * BINS), "positive_scores"),
        # Sums of int64 would wrap, here or once those of many sites are added.
        (lambda payload: payload.update(positive_scores=[2**53] * BINS), "positive_scores"),
        (lambda payload: payload["negative_scores"].__setitem__(7, 2**48), "negative_scores"),
        (lambda payload: payload["per_image"].pop("dice"), "per_image.dice"),
        (lambda payload: payload["per_image"].update(iou={}), "per_image.iou"),
        (lambda payload: payload["per_image"].update(dice=[]), "per_image.dice"),
        (lambda payload: payload["per_image"]["sen"].update(sum=math.nan), "per_image.sen.sum"),
        (lambda payload: payload.update(per_image=None), "per_image"),
    ],
)
def test_malformed_json_is_refused(change: Callable[[dict[str, Any]], object], where: str) -> None:
    payload = segmentation_update(*batch(images=1)).to_json()
    change(payload)
    with pytest.raises(DataError) as caught:
        SegmentationSums.from_json(payload, where="site a")
    assert caught.value.problems[0].where == f"site a.{where}"


def test_a_384_image_takes_milliseconds() -> None:
    probability, mask = batch(images=1, side=384)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        segmentation_update(probability, mask)
        seconds.append(time.perf_counter() - start)
    # 1.5 ms on an idle core; the margin is for a busy one, torchmetrics' way of 150 ms would still be caught.
    assert min(seconds) < 0.02
