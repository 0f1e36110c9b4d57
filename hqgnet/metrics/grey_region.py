"""What counts of one image for NIQE, BRISQUE and PIQE: whole grey levels inside the field of view.

The levels are 0..255, as an 8-bit file of the image would give: the models were fitted on such files, so that
a figure is the same before and after an image is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from hqgnet.metrics.luminance import WEIGHTS
from hqgnet.metrics.natural_scene import WINDOW_SIDE, Floats, Mask

FLAT = 100.0
"""NIQE and BRISQUE, by definition here, of an image that is flat, nearly so, or constant along a direction,
so that no statistics can be fitted; PIQE has 100 by its own formula where there is no contrast.

Worse than photographs have, but no bound: noise of two levels has a NIQE of 680, and BRISQUE can be 139
where one pixel alone differs. An enhancer that ends in flat images then makes its mean worse, where leaving
them out would flatter it."""


class UnsuitableImageError(ValueError):
    """A figure is not defined for an image; the message says why, for a person."""


@dataclass(frozen=True)
class Region:
    """What counts of an image, cut to the bounding box of its field of view.

    Attributes:
        grey: (H, W), whole levels 0..255; 0 outside the field of view.
        inside: (H, W), the field of view; None where all pixels count.
    """

    grey: Floats
    inside: Mask | None

    @property
    def levels(self) -> Floats:
        """(N,) levels of the pixels that count."""
        return self.grey.ravel() if self.inside is None else self.grey[self.inside]

    @property
    def clear(self) -> Mask | None:
        """(H, W), pixels whose normalised contrast has seen nothing of what lies outside; None for all."""
        if self.inside is None:
            return None
        return np.asarray(ndimage.minimum_filter(self.inside, WINDOW_SIDE, mode="nearest"))

    def tiled(self, side: int) -> Region:
        """Cut to whole blocks of ``side`` pixels: from the top left, as MATLAB does, or around the centre of
        a field of view, whose corners hold little of it."""
        height, width = (length // side * side for length in self.grey.shape)
        if self.inside is None:
            return Region(self.grey[:height, :width], None)
        top, left = (self.grey.shape[0] - height) // 2, (self.grey.shape[1] - width) // 2
        window = np.s_[top : top + height, left : left + width]
        return Region(self.grey[window], self.inside[window])

    def halved(self) -> Region:
        """Half the size, (ceil(H / 2), ceil(W / 2)), with levels no longer whole: MATLAB's ``imresize(grey,
        0.5)`` (bicubic, antialiased). A pixel is inside if all that it was made of is."""
        grey = _halved_rows(_halved_rows(self.grey).T).T
        if self.inside is None:
            return Region(grey, None)
        # The eight pixels of either direction are those from 3 before to 4 after the first of the pair.
        whole = ndimage.minimum_filter(self.inside, 8, mode="reflect", origin=-1)
        return Region(grey, np.asarray(whole[::2, ::2]))


def figures(
    images: Tensor, field_of_view: Tensor | None, smallest_side: int, figure: Callable[[Region], float]
) -> Tensor:
    """Figure of each image; NaN for those that are unsuitable.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3.
        field_of_view: (B, 1, H, W) in {0, 1}, or None.
        smallest_side: Of the field of view's bounding box, in pixels.
        figure: Of a region; may raise ``UnsuitableImageError``.

    Returns:
        (B,) float64.

    Raises:
        ValueError: The shapes do not fit.
    """
    _check(images, field_of_view)
    values = []
    for index in range(len(images)):
        inside = None if field_of_view is None else field_of_view[index : index + 1]
        try:
            values.append(measure(images[index : index + 1], inside, smallest_side, figure))
        except UnsuitableImageError:
            values.append(float("nan"))
    return torch.tensor(values, dtype=torch.float64)


def measure(
    image: Tensor, field_of_view: Tensor | None, smallest_side: int, figure: Callable[[Region], float]
) -> float:
    """Figure of one image, (1, C, H, W), as :func:`figures`.

    Raises:
        UnsuitableImageError: The figure is not defined for this image.
        ValueError: The shapes do not fit.
    """
    _check(image, field_of_view)
    return figure(_cut(image, field_of_view, smallest_side))


def bounding_box(inside: Mask) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle around a field of view (H, W); None if that is empty."""
    return next(iter(ndimage.find_objects(inside.astype(np.uint8))), None)


def _cut(image: Tensor, field_of_view: Tensor | None, smallest_side: int) -> Region:
    inside = None if field_of_view is None else (field_of_view[0, 0] > 0.5).cpu().numpy()
    if inside is not None:
        window = bounding_box(inside)
        if window is None:
            raise UnsuitableImageError("the field of view is empty")
        image, inside = image[..., window[0], window[1]], inside[window]
        inside = None if inside.all() else inside
    height, width = image.shape[-2:]
    if min(height, width) < smallest_side:
        place = "the image" if field_of_view is None else "the field of view"
        size = f"{width} x {height} pixels"
        raise UnsuitableImageError(f"{place} has {size}, fewer than {smallest_side} a side")
    samples = image[0].detach().cpu().double().numpy()
    missing = np.isnan(samples).any(0)
    if (missing if inside is None else missing & inside).any():
        raise UnsuitableImageError("the image holds NaN")
    # Halves go up, as in MATLAB.
    levels = np.floor(np.nan_to_num(samples).clip(0, 1) * 255 + 0.5)
    grey = levels[0] if len(levels) == 1 else np.floor(np.tensordot(WEIGHTS, levels, 1) + 0.5)
    return Region(grey if inside is None else np.where(inside, grey, 0), inside)


def _halved_rows(values: Floats) -> Floats:
    """(H, W) to (ceil(H / 2), W), rows beyond the edges mirrored."""
    distance = np.array([0.25, 0.75, 1.25, 1.75])  # of the new pixel's centre, in new pixels
    near, far = distance[:2], distance[2:]
    # Cubic convolution with a = -1/2 (Keys 1981).
    weights = np.concatenate([1.5 * near**3 - 2.5 * near**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2])
    weights /= 2 * weights.sum()
    count = (values.shape[0] + 1) // 2
    padded = np.pad(values, ((3, 5), (0, 0)), mode="symmetric")
    result = np.zeros((count, values.shape[1]))
    for step, weight in enumerate(weights):
        before, after = padded[3 - step :: 2][:count], padded[4 + step :: 2][:count]
        result += weight * (before + after)
    return result


def _check(images: Tensor, field_of_view: Tensor | None) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"expected (B, 1, H, W) or (B, 3, H, W), got {tuple(images.shape)}")
    wanted = (len(images), 1, *images.shape[-2:])
    if field_of_view is not None and field_of_view.shape != wanted:
        raise ValueError(f"expected a field of view {wanted}, got {tuple(field_of_view.shape)}")
