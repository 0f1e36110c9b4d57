"""Which masks are of two values, as a segmentation of one structure is, and which hold several labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hqgnet.errors import DataError

_NUMBERED = 16
"""Labels stored as numbers below this are seen by that alone: a smooth edge needs more levels."""
_FEWEST_OF_AN_EDGE = 5
"""A mask that was shrunk by half has so many values; one of fewer, and more than two, has none of an edge."""
_NEAR = 1 / 8
"""Share of the range within which a value is that of background or foreground."""
_RARE_EVEN, _RARE_THIN = 0.05, 0.25
"""Shares of the marked pixels up to which even areas, and pixels off any edge, are let pass."""


class LabelsError(DataError):
    """A mask holds several labels; it must be mended, for to leave it out would be to train on others."""


def holds_labels(values: NDArray[np.float32], bits: int, *, compressed: bool) -> bool:
    """Whether a mask has more than two values, beyond what smooth edges give one of two.

    A label shows as an even area of a value in between, or, where there are three or four values in all, as
    pixels in between that have not both the lowest and the highest value within two pixels.

    Args:
        values: ``(H, W)`` in [0, 1].
        bits: Bits in which a value is stored.
        compressed: Whether the file's compression changes values; then nothing is known.
    """
    distinct = np.count_nonzero(np.bincount(np.rint(values * 65535).astype(np.uint16).ravel()))
    if compressed or distinct <= 2:
        return False
    low, high = float(values.min()), float(values.max())
    if high * (2.0**bits - 1) < _NUMBERED:
        return True
    near = _NEAR * (high - low)
    few = distinct <= _NUMBERED
    # Of few values 1 beside 0 and 255 is a label; 254, which is read as 255 is, does no harm.
    between = (values > (low if few else low + near)) & (values < high - near)
    even = ndimage.maximum_filter(values, 3) == ndimage.minimum_filter(values, 3)
    marked = np.count_nonzero(values > low)
    if np.count_nonzero(between & even) > _RARE_EVEN * marked:
        return True
    if distinct >= _FEWEST_OF_AN_EDGE:
        return False
    edge = (ndimage.minimum_filter(values, 5) <= low + near) & (
        ndimage.maximum_filter(values, 5) >= high - near
    )
    thin = between & (values > low + near) & ~edge
    return bool(np.count_nonzero(thin) > _RARE_THIN * marked)
