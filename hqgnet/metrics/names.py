"""The metrics of an image by name: which a modality is judged by, which way is better, why one is missing.

Loads neither torch nor numpy: a hospital's daemon and the configuration read names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

ImageMetric = Literal[
    "psnr",
    "ssim",
    "average_gradient",
    "entropy",
    "snr_3",
    "snr_5",
    "snr_7",
    "snr_9",
    "s_hq",
    "piqe",
    "niqe",
    "brisque",
]
IMAGE_METRICS: tuple[ImageMetric, ...] = get_args(ImageMetric)
"""Figures of one image, in the order in which they are told."""

FULL_REFERENCE = ("psnr", "ssim")
SNR = tuple(name for name in IMAGE_METRICS if name.startswith("snr_"))

SEGMENTATION = "segmentation"
GRADING = "grading"
"""Name the counts that the downstream network's figures are taken from: of pixels, and of levels."""

LOWER_IS_BETTER = frozenset({"niqe", "brisque", "piqe"})

ALWAYS = ("psnr", "ssim", "average_gradient", "entropy")
"""Taken of every image, PSNR and SSIM where there is a clean twin."""

OF_MODALITY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"ccm": SNR, "colonoscopy": ("niqe", "brisque"), "fundus": ("s_hq", "piqe")}
)
"""What the paper judges each modality by (Tables III and V), beside those that are always taken."""

QUALITY_AUC = "s_hq_auc"
"""How well a site's quality classifier tells HQ from LQ images that it has not seen."""


class Reason(StrEnum):
    """Why an image has no figure of a metric; safe to tell, as it names no file."""

    NO_TWIN = "no-twin"
    NO_MASK = "no-mask"
    NO_GRADE = "no-grade"
    NO_TASK = "no-task"
    NO_CLASSIFIER = "no-classifier"
    TOO_SMALL = "too-small"
    NOT_FINITE = "not-finite"
    NOTHING = "nothing-to-measure"
    WITHHELD = "withheld"


REASON_TEXTS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.NO_TWIN: "no clean twin",
        Reason.NO_MASK: "no mask",
        Reason.NO_GRADE: "no grade",
        Reason.NO_TASK: "no trained downstream network",
        Reason.NO_CLASSIFIER: "no quality classifier, which takes LQ and HQ training images",
        Reason.TOO_SMALL: "the image is too small for it",
        Reason.NOT_FINITE: "the image, or what is predicted from it, is not finite",
        Reason.NOTHING: "nothing to measure: an empty or full mask, a flat or empty field of view",
        Reason.WITHHELD: "the hospital's policy keeps it",
    }
)


def metrics_of(modality: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the metrics of images of a modality, and ``more``, in the order in which they are told."""
    wanted = {*ALWAYS, *OF_MODALITY[modality], *more}
    return tuple(name for name in IMAGE_METRICS if name in wanted)


def improves(metric: str, score: float | None, best: float | None) -> bool:
    """Return whether a figure beats the best so far; any figure beats none, and no figure beats none.

    Args:
        metric: Its name, without version: decides which way is better.
        score: Of the newcomer.
        best: Of the one that stands.
    """
    if best is None or score is None:
        return best is None
    return score < best if metric in LOWER_IS_BETTER else score > best
