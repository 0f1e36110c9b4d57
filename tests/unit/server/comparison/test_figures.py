"""Which figures may be averaged over images, and how a comparison calls them."""

from __future__ import annotations

import pytest
import torch

from hqgnet.metrics.classification import ClassificationSums, classification_update
from hqgnet.metrics.names import IMAGE_METRICS
from hqgnet.metrics.segmentation import SegmentationSums, segmentation_update
from hqgnet.report.figures import figure
from hqgnet.scores import SiteScores
from server.comparison.figures import COLUMNS, figures_of_image, is_downstream, notes
from server.results import COLUMNS as OF_A_RUN


def graded(predicted: int, truth: int) -> ClassificationSums:
    return classification_update(torch.eye(4)[[predicted]], torch.tensor([truth]))


def test_a_figure_of_one_image_may_be_averaged_over_images() -> None:
    # Five images of level 0, one of level 1, and a network that says 0 always: F1 is 0.45, not 5/6.
    images = [graded(0, 0)] * 5 + [graded(0, 1)]
    whole = SiteScores(6, grading={"enhanced": sum(images, ClassificationSums.none(4))}).row()
    taken = [
        {(metric, version): found for metric, version, found in figures_of_image(scores.row())}
        for scores in (SiteScores(1, grading={"enhanced": image}) for image in images)
    ]
    for (metric, version), _ in taken[0].items():
        mean = sum(one[(metric, version)] or 0 for one in taken) / len(taken)
        assert mean == pytest.approx(whole[f"{metric}_{version}"]), metric
    assert set(taken[0]) == {("grade_acc", "enhanced")}


def test_of_a_network_that_segments_the_means_over_images_are_taken_and_called_so() -> None:
    # A thin vessel that is found, a large one that is missed: over pixels another figure than over images.
    small, large = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    small[..., 0, :2], large[..., 4:, :] = 1, 1
    images = [segmentation_update(small, small), segmentation_update(torch.zeros(1, 1, 8, 8), large)]
    whole = SiteScores(2, segmentation={"enhanced": sum(images, SegmentationSums())}).row()
    found: dict[str, list[float | None]] = {}
    for image in images:
        for metric, version, value in figures_of_image(SiteScores(1, segmentation={"enhanced": image}).row()):
            assert version == "enhanced"
            found.setdefault(metric, []).append(value)
    assert {"dice_image", "auc_image"} < set(found) and not {"dice", "auc"} & set(found)
    assert sum(value or 0 for value in found["dice_image"]) / 2 == pytest.approx(whole["dice_image_enhanced"])
    assert whole["dice_enhanced"] != pytest.approx(whole["dice_image_enhanced"])


def test_a_run_and_a_comparison_give_different_figures_different_names() -> None:
    run, comparison = ({column.metric: column.title for column in columns} for columns in (OF_A_RUN, COLUMNS))
    assert "dice" not in comparison and comparison["dice_image"] == figure("dice_image").title
    assert run["dice"] != comparison["dice_image"] and run["auc"] != comparison["auc_image"]
    assert not any(metric.startswith("grade_") for metric in comparison.keys() - {"grade_acc"})
    assert run.keys() & set(IMAGE_METRICS) == comparison.keys() & set(IMAGE_METRICS)


def test_what_is_to_be_known_of_a_figure_stands_beside_it() -> None:
    assert notes("psnr", None) == [] and not is_downstream("psnr")
    assert "of the federated model" in notes("dice_image", None)[0] and is_downstream("dice_image")
    assert "network of variant plain" in notes("dice_image", "plain")[0]
    assert "F1" in notes("grade_acc", None)[-1]
