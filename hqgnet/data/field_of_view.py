"""Find the round field of view of a photograph on its black border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def estimate_field_of_view(image: NDArray[np.float64], threshold: float = 0.06) -> NDArray[np.bool_]:
    """The lit part of a photograph: its largest bright region with all holes filled.

    Args:
        image: (H, W, C) in [0, 1].
        threshold: What counts as lit, on the brightest channel after a median filter; compression leaves the
            border not quite black.

    Returns:
        (H, W) boolean; everything where the whole frame is darker than the threshold.
    """
    brightest = ndimage.median_filter(image.max(axis=-1), 5)
    regions, count = ndimage.label(brightest > threshold)
    if count == 0:
        return np.ones(image.shape[:2], dtype=bool)
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(regions == largest)
    return filled
