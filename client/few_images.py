"""Which sums of a judgement stand over too few images to leave, or tell a number of images that is hidden.

The hospital sets two numbers: ``policy.minimum_images_for_metrics`` for the images behind a figure, and
``policy.smallest_count`` for any number of images that could be worked out.
"""

from __future__ import annotations

from hqgnet.data.site_policy import SitePolicy
from hqgnet.metrics.classification import ClassificationSums
from hqgnet.metrics.segmentation import SegmentationSums
from hqgnet.metrics.sums import MeanSums


def is_enough(count: int, minimum: int) -> bool:
    """Whether something over ``count`` images may leave; by default even sums over none do."""
    return minimum == 1 or count >= minimum


def mean_may_leave(sums: MeanSums, policy: SitePolicy) -> bool:
    """Whether the sums of an image metric, or a classifier's AUC, stand over enough images."""
    return is_enough(sums.count, _minimum(policy)) and _may_be_told(sums.undefined, policy)


def segmentation_may_leave(sums: SegmentationSums, images: int, policy: SitePolicy) -> bool:
    """Whether every figure is taken over enough images, or over none.

    A single image with something on its mask would by itself make the histogram of positive scores.

    Args:
        sums: Over the images with a mask.
        images: All that were judged.
        policy: The hospital's.
    """
    minimum, figures = _minimum(policy), sums.per_image.values()
    counts = [figure.count for figure in figures]
    return (
        is_enough(max(counts), minimum)
        and all(is_enough(count, minimum) for count in counts if count)
        and all(_may_be_told(figure.undefined, policy) for figure in figures)
        and all(_may_be_told(images - figure.images, policy) for figure in figures)
    )


def grading_may_leave(sums: ClassificationSums, images: int, policy: SitePolicy) -> bool:
    """Whether no level, no cell, and neither kind of images without a level is small.

    Args:
        sums: Over the images with a grade.
        images: All that were judged.
        policy: The hospital's.
    """
    # The sum of a row is the number of images of that level.
    of_levels = [int(count) for count in sums.confusion.sum(axis=1)]
    ungraded = images - sum(of_levels) - sums.undefined
    cells = [int(count) for count in sums.confusion.flat]
    return all(is_enough(count, _minimum(policy)) for count in of_levels if count) and all(
        _may_be_told(count, policy) for count in (*cells, sums.undefined, ungraded)
    )


def without_count(sums: MeanSums) -> MeanSums:
    """Return the mean as if it were of one image, which tells nothing of how many there are."""
    return MeanSums.of([] if sums.mean is None else [sums.mean])


def _minimum(policy: SitePolicy) -> int:
    return max(policy.minimum_images_for_metrics, policy.smallest_count)


def _may_be_told(count: int, policy: SitePolicy) -> bool:
    """Whether a number of images is not a small one.

    What it stands in is withheld then: told as 0 it would follow from the number of all images.
    """
    return not 0 < count < policy.smallest_count
