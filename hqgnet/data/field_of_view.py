"""Find the field of view of a fundus photograph on its black border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SURELY_TISSUE = 15 / 255
"""A smoothed brightest channel above this is retina: cameras leave at most 12 of 255 in the border."""

_ABOVE_BORDER = 4 / 255
_ABOVE_BORDER_RELATIVE = 0.08
"""How far above the border retina has to be, and as a share of its median: a bright one has a halo."""

_SMOOTHING = 5
_SMALLEST_REGION = 0.1


def estimate_field_of_view(brightest: NDArray[np.floating[Any]], rim: int = 0) -> NDArray[np.bool_]:
    """The region of a photograph that shows the retina.

    The largest connected region whose brightest channel, smoothed, lies above the camera's black (its level
    is taken from the darkest hundredth), with its holes filled. A region of less than a tenth of the area
    (all but black, or not a fundus photograph) counts as none.

    Args:
        brightest: Brightest channel of the image, (H, W) in [0, 1].
        rim: Pixels to take off all around: smoothing widens the region by two.

    Returns:
        (H, W) boolean; everything where no region was found.
    """
    # Smoothing keeps noise in the border from counting as tissue.
    smooth = ndimage.uniform_filter(brightest, _SMOOTHING)
    border = np.percentile(smooth, 1)
    candidates = smooth[smooth > border + _ABOVE_BORDER]
    halo = _ABOVE_BORDER_RELATIVE * np.median(candidates) if candidates.size else 0.0
    bright = smooth > min(border + max(_ABOVE_BORDER, halo), _SURELY_TISSUE)
    labels, regions = ndimage.label(bright)
    if not regions:
        return np.ones_like(bright)
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    region: NDArray[np.bool_] = ndimage.binary_fill_holes(largest)
    if rim:
        region = ndimage.binary_erosion(region, iterations=rim, border_value=1)
    return region if region.mean() >= _SMALLEST_REGION else np.ones_like(bright)
