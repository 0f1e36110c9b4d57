"""Which figures a comparison takes of single images, and how they are called.

A comparison averages figures over images and resamples images to see how sure a mean is. That is right for
figures that one image has. F1 and precision of grades are none: one image gives 0 or 1, and their mean is the
accuracy under another name. Dice over all pixels of a site, as a run's table has it, is another figure than
the mean of each image's own: here it is the latter, and called so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hqgnet.metrics.names import IMAGE_METRICS
from hqgnet.scores import VERSIONS
from server.results import COLUMNS as OF_A_RUN
from server.results import Column

_ACCURACY = "grade_acc"
COLUMNS = (
    *(column for column in OF_A_RUN if column.metric in IMAGE_METRICS),
    Column("dice_image", "Dice, mean over images", 3),
    Column("auc_image", "AUC, mean over images", 3),
    *(column for column in OF_A_RUN if column.metric == _ACCURACY),
)
"""The figures that are told, in their order."""


def figures_of_image(row: Mapping[str, float | None]) -> Iterator[tuple[str, str, float | None]]:
    """Return metric, version and figure of what one image has.

    Args:
        row: Of that image alone: :meth:`hqgnet.scores.SiteScores.row`.
    """
    for name, figure in row.items():
        metric, _, version = name.rpartition("_")
        if version in VERSIONS and is_of_image(metric):
            yield metric, version, figure


def is_of_image(metric: str) -> bool:
    """Whether a metric's mean over images is what its name says."""
    return metric in IMAGE_METRICS or metric.endswith("_image") or metric == _ACCURACY


def is_downstream(metric: str) -> bool:
    """Whether a metric is taken through the downstream network, of which every model has its own."""
    return metric not in IMAGE_METRICS


def notes(metric: str, base: str | None) -> list[str]:
    """Return what a reader must know of a figure, beside its table.

    Args:
        metric: Which.
        base: The variant that others are held against; None where there are no variants.
    """
    if not is_downstream(metric):
        return []
    whose = f"of variant {base}" if base else "of the federated model"
    lines = [f"original: the images as they came, judged through the downstream network {whose}"]
    if base is None:
        lines.append(
            "No share of a gain over the originals is told: each model has its own downstream network"
        )
    if metric == _ACCURACY:
        lines.append("F1 and precision are figures of many images, not of one: hqgnet evaluate tells them")
    return lines
