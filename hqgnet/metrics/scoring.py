"""The metrics that need nothing but the image, by name; and why an image has no figure of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from hqgnet.metrics.brisque import SMALLEST_SIDE as BRISQUE_SIDE
from hqgnet.metrics.brisque import figure as brisque_of
from hqgnet.metrics.grey_region import Region, UnsuitableImageError, measure
from hqgnet.metrics.niqe import SMALLEST_SIDE as NIQE_SIDE
from hqgnet.metrics.niqe import figure as niqe_of
from hqgnet.metrics.no_reference import average_gradient, entropy
from hqgnet.metrics.piqe import SMALLEST_SIDE as PIQE_SIDE
from hqgnet.metrics.piqe import figure as piqe_of

_SCENE: Mapping[str, tuple[int, Callable[[Region], float]]] = MappingProxyType(
    {
        "niqe": (NIQE_SIDE, niqe_of),
        "brisque": (BRISQUE_SIDE, brisque_of),
        "piqe": (PIQE_SIDE, piqe_of),
    }
)
_DETAIL: Mapping[str, Callable[[Tensor, Tensor | None], Tensor]] = MappingProxyType(
    {"ag": average_gradient, "en": entropy}
)

SMALLEST_SIDES: Mapping[str, int] = MappingProxyType({name: side for name, (side, _) in _SCENE.items()})
"""Pixels a side that an image, or its field of view, must have."""

METRICS = (*_SCENE, *_DETAIL)
"""Names: NIQE, BRISQUE and PIQE (lower is better), average gradient and entropy (higher)."""


@dataclass(frozen=True)
class Score:
    """Figure of one image.

    Attributes:
        value: None where it is not defined.
        reason: Why not; None where it is.
    """

    value: float | None
    reason: str | None = None


def score(image: Tensor, metric: str, field_of_view: Tensor | None = None) -> Score:
    """Measure one image.

    Args:
        image: (C, H, W) in [0, 1], C = 1 or 3.
        metric: One of ``METRICS``.
        field_of_view: (1, H, W) in {0, 1}: only what lies inside counts.

    Raises:
        KeyError: The metric is unknown.
        ValueError: The shapes do not fit.
    """
    images, inside = image.unsqueeze(0), None if field_of_view is None else field_of_view.unsqueeze(0)
    if metric in _SCENE:
        try:
            return Score(measure(images, inside, *_SCENE[metric]))
        except UnsuitableImageError as error:
            return Score(None, str(error))
    value = _DETAIL[metric](images, inside).item()
    if math.isfinite(value):
        return Score(value)
    region = image if field_of_view is None else image[..., field_of_view[0] > 0.5]
    return Score(None, "the image holds NaN" if region.isnan().any() else "there are no pixels to count")


def suitability(image: Tensor, metric: str, field_of_view: Tensor | None = None) -> str | None:
    """Why an image has no figure of a metric (too small, NaN, nothing inside the view); None if it has one.

    Args:
        image: (C, H, W) in [0, 1], C = 1 or 3.
        metric: One of ``METRICS``.
        field_of_view: (1, H, W) in {0, 1}, or None.

    Raises:
        KeyError: The metric is unknown.
        ValueError: The shapes do not fit.
    """
    return score(image, metric, field_of_view).reason
