"""Classification sums against figures worked by hand and counted by brute force."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from hqgnet.errors import DataError
from hqgnet.metrics.classification import ClassificationSums, classification_update, graded_update


def levels(images: int = 60, count: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (images, count) that know something of the truth (images,)."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, count, (images,), generator=generator)
    noise = torch.randn((images, count), generator=generator)
    return torch.nn.functional.one_hot(truth, count) * 1.5 + noise, truth


def test_hand_worked_levels() -> None:
    truth = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 1, 1, 0, 1])
    sums = graded_update(predicted, truth, 3)
    assert sums.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    figures = sums.compute()
    assert figures["acc"] == pytest.approx(3 / 6)
    assert [figures[f"acc_{i}"] for i in range(3)] == pytest.approx([4 / 6, 3 / 6, 5 / 6])
    assert [figures[f"pre_{i}"] for i in range(3)] == pytest.approx([2 / 3, 1 / 3, 0])
    assert [figures[f"sen_{i}"] for i in range(3)] == pytest.approx([2 / 3, 1 / 2, 0])
    assert [figures[f"f1_{i}"] for i in range(3)] == pytest.approx([2 / 3, 2 / 5, 0])
    assert figures["pre"] == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert figures["sen"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert figures["f1"] == pytest.approx((2 / 3 + 2 / 5) / 3)


def test_figures_equal_counting() -> None:
    scores, truth = levels()
    predicted, true = scores.argmax(1).numpy(), truth.numpy()
    figures = classification_update(scores, truth).compute()
    assert figures["acc"] == pytest.approx((predicted == true).mean())
    for level in range(4):
        found, actual = predicted == level, true == level
        precision, recall = actual[found].mean(), found[actual].mean()
        assert figures[f"acc_{level}"] == pytest.approx((found == actual).mean())
        assert figures[f"pre_{level}"] == pytest.approx(precision)
        assert figures[f"sen_{level}"] == pytest.approx(recall)
        assert figures[f"f1_{level}"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_level_that_does_not_occur_has_no_figure_and_no_part_in_the_means() -> None:
    sums = graded_update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), 3)
    figures = sums.compute()
    assert figures["f1_2"] is figures["pre_2"] is figures["sen_2"] is figures["acc_2"] is None
    assert figures["f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    # A level that is never predicted is a failure, not a gap.
    assert graded_update(torch.tensor([0, 0]), torch.tensor([0, 1]), 2).compute()["pre_1"] == 0


def test_any_partition_equals_the_union_exactly() -> None:
    scores, truth = levels()
    union = classification_update(scores, truth)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    parts = [classification_update(scores[part], truth[part]) for part in order.split(7)]
    merged = sum(parts, ClassificationSums.none(4))
    assert merged == union
    assert merged.compute() == union.compute()
    assert merged != parts[0]


def test_no_image_has_no_figures() -> None:
    assert set(ClassificationSums.none(3).compute().values()) == {None}
    assert classification_update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == (
        ClassificationSums.none(3)
    )


def test_an_image_with_nan_is_undefined_and_leaves_the_counts_alone() -> None:
    scores, truth = levels(images=5)
    alone = classification_update(scores[:4], truth[:4])
    scores[4, 2] = math.nan
    both = classification_update(scores, truth)
    assert np.array_equal(both.confusion, alone.confusion)
    assert (both.undefined, alone.undefined) == (1, 0)


def test_equal_scores_go_to_the_lowest_level() -> None:
    assert classification_update(torch.zeros(1, 3), torch.tensor([2])).confusion[2, 0] == 1


def test_what_does_not_fit_is_refused() -> None:
    scores, truth = levels(images=3)
    with pytest.raises(ValueError, match=r"truth \(B,\)"):
        classification_update(scores, truth[:2])
    with pytest.raises(ValueError, match="two levels"):
        classification_update(scores[:, :1], truth)
    with pytest.raises(ValueError, match="levels must be 0 to 3, got -1 to"):
        graded_update(truth, torch.tensor([0, -1, 2]), 4)
    with pytest.raises(ValueError, match="levels must be 0 to 1"):
        graded_update(torch.tensor([2]), torch.tensor([0]), 2)
    with pytest.raises(ValueError, match="integer"):
        graded_update(torch.tensor([0.5]), torch.tensor([0.0]), 2)
    with pytest.raises(ValueError, match="3 and over 4"):
        ClassificationSums.none(3) + ClassificationSums.none(4)


def test_json_round_trip_is_exact() -> None:
    sums = classification_update(*levels()) + ClassificationSums(np.zeros((4, 4), dtype=np.int64), 2)
    again = ClassificationSums.from_json(json.loads(json.dumps(sums.to_json())), 4)
    assert again == sums
    assert again.confusion.dtype == np.int64 and again.undefined == 2


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"confusion": [[1, 2], [3, 4]]}, "confusion"),
        ({"confusion": [[1, 2, 3], [4, 5, 6], [7, 8, -9]]}, "confusion"),
        ({"confusion": [[1, 2, 3], [4, 5, 6], [7, 8, 9.0]]}, "confusion"),
        ({"confusion": [[1, 2, 3], [4, 5, 6], [7, 8, True]]}, "confusion"),
        ({"confusion": [[1, 2, 3], [4, 5, 6], [7, 8, 2**60]]}, "confusion"),
        ({"confusion": "many"}, "confusion"),
        ({"undefined": -1}, "undefined"),
        ({"undefined": None}, "undefined"),
        ({"extra": 1}, "extra"),
    ],
)
def test_malformed_json_is_refused_where_it_is_wrong(change: dict[str, Any], where: str) -> None:
    payload = ClassificationSums.none(3).to_json() | change
    with pytest.raises(DataError) as caught:
        ClassificationSums.from_json(payload, 3, "site 2")
    assert [problem.where for problem in caught.value.problems] == [f"site 2.{where}"]


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(DataError) as caught:
        ClassificationSums.from_json({"undefined": "none", "more": 1}, 3)
    assert len(caught.value.problems) == 3
    with pytest.raises(DataError, match="expected an object"):
        ClassificationSums.from_json([1], 3)
