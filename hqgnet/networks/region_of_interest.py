"""The region of interest of a segmentation: the window that holds most of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def densest_windows(probability: Tensor, side: int) -> list[tuple[slice, slice]]:
    """Find for each image the window with the largest sum of probabilities.

    Decision: the published regions of interest cannot be told from the paper's facts, so that a rule without
    random numbers and without training chooses them: where the nerves lie densest.

    Args:
        probability: ``(B, 1, H, W)`` in [0, 1].
        side: Side of the window in pixels; an image's side where that is shorter.

    Returns:
        Rows and columns, one pair an image; among equals the uppermost, then the leftmost.
    """
    height, width = probability.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    # Two passes along one axis each: the work grows with the side, not with its square.
    density = F.avg_pool2d(probability.detach().float(), (rows, 1), stride=1)
    density = F.avg_pool2d(density, (1, columns), stride=1)
    windows = []
    for best in density.flatten(1).argmax(dim=1).tolist():
        top, left = divmod(best, density.shape[-1])
        windows.append((slice(top, top + rows), slice(left, left + columns)))
    return windows


def crop_windows(images: Tensor, windows: list[tuple[slice, slice]], side: int) -> Tensor:
    """Cut one window out of each image.

    Args:
        images: ``(B, C, H, W)``.
        windows: What :func:`densest_windows` returned.
        side: Side of the result; a window that an image's side made smaller is enlarged to it.

    Returns:
        ``(B, C, side, side)``; the gradient flows into the windows.
    """
    crops = torch.stack([image[:, *window] for image, window in zip(images, windows, strict=True)])
    if crops.shape[-2:] == (side, side):
        return crops
    return F.interpolate(crops, size=(side, side), mode="bilinear")
