"""One metric of one image, or the reason why it has none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from hqgnet.metrics.full_reference import SSIM_WINDOW, psnr, ssim
from hqgnet.metrics.grey_region import bounding_box
from hqgnet.metrics.names import FULL_REFERENCE, SNR, Reason
from hqgnet.metrics.quality import QualityClassifier, s_hq
from hqgnet.metrics.scoring import SMALLEST_SIDES
from hqgnet.metrics.scoring import score as score_alone
from hqgnet.metrics.snr import snr

_NAMES_ALONE = {"average_gradient": "ag", "entropy": "en"}
Measured = float | Reason


@dataclass(frozen=True)
class Companions:
    """What an image can be measured against, all of one image size.

    Attributes:
        twin: (C, H, W), the clean image; None without one.
        mask: (1, H, W); None without one.
        view: (1, H, W) in {0, 1}, the field of view; None where all of the image counts.
        quality: Gives S_HQ; None without one.
    """

    twin: Tensor | None = None
    mask: Tensor | None = None
    view: Tensor | None = None
    quality: QualityClassifier | None = None


def measure(metric: str, image: Tensor, beside: Companions) -> Measured:
    """Return a figure, or the reason why there is none; never NaN.

    Args:
        metric: One of ``IMAGE_METRICS``.
        image: (C, H, W) in [0, 1].
        beside: What it is measured against.

    Raises:
        KeyError: The metric is unknown.
        ValueError: The shapes do not fit.
    """
    if not bool(image.isfinite().all()):
        return Reason.NOT_FINITE
    if metric in FULL_REFERENCE:
        return _likeness(metric, image, beside.twin)
    if metric in SNR:
        if beside.mask is None:
            return Reason.NO_MASK
        return _number(snr(image.unsqueeze(0), beside.mask.unsqueeze(0), int(metric.removeprefix("snr_"))))
    if metric == "s_hq":
        if beside.quality is None:
            return Reason.NO_CLASSIFIER
        return _number(s_hq(beside.quality, image.unsqueeze(0)))
    name = _NAMES_ALONE.get(metric, metric)
    value = score_alone(image, name, beside.view).value
    if value is not None:
        return value
    sides = min(image.shape[-2:]) if beside.view is None else _shortest_side(beside.view)
    return Reason.TOO_SMALL if 0 < sides < SMALLEST_SIDES.get(name, 0) else Reason.NOTHING


def _likeness(metric: str, image: Tensor, twin: Tensor | None) -> Measured:
    if twin is None:
        return Reason.NO_TWIN
    if metric == "psnr":
        return _number(psnr(image.unsqueeze(0), twin.unsqueeze(0)))
    if min(image.shape[-2:]) < SSIM_WINDOW:
        return Reason.TOO_SMALL
    return _number(ssim(image.unsqueeze(0), twin.unsqueeze(0)))


def _number(figure: Tensor) -> Measured:
    value = float(figure.item())
    return value if math.isfinite(value) else Reason.NOTHING


def _shortest_side(view: Tensor) -> int:
    """Of the bounding box of a field of view, in pixels; 0 if that is empty."""
    box = bounding_box((view[0] > 0.5).cpu().numpy())
    return 0 if box is None else min(side.stop - side.start for side in box)
