"""Metrics that need no clean twin: average gradient (AG) and entropy (EN), inside the field of view.

A black border moves both. Find the field of view once, on the LQ image, and use it for the enhanced image
too: otherwise the difference of two figures may come from two regions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hqgnet.data.field_of_view import estimate_field_of_view
from hqgnet.metrics.luminance import luminance

_RIM = 4
"""Pixels taken off the field of view: its edge is neither retina nor border."""


def average_gradient(images: Tensor, field_of_view: Tensor | None = None) -> Tensor:
    """Average gradient: mean of sqrt((dx^2 + dy^2) / 2) over forward differences of the grey image.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3 (BT.601 luma).
        field_of_view: (B, 1, H, W) in {0, 1}; a pixel counts if it and its right and lower neighbour are
            inside.

    Returns:
        (B,) float64 in grey levels (0..255) a pixel; NaN for an image with NaN inside, or without a
        pixel that counts.

    Raises:
        ValueError: The shapes do not fit.
    """
    grey = luminance(images)
    inside = _inside(images, field_of_view)
    counted = inside[:, :-1, :-1] & inside[:, :-1, 1:] & inside[:, 1:, :-1]
    dx = grey[:, :-1, 1:] - grey[:, :-1, :-1]
    dy = grey[:, 1:, :-1] - grey[:, :-1, :-1]
    gradient = ((dx.square() + dy.square()) / 2).sqrt()
    total = torch.where(counted, gradient, 0.0).sum((1, 2))
    return total / counted.sum((1, 2))


def entropy(images: Tensor, field_of_view: Tensor | None = None) -> Tensor:
    """Shannon entropy of the grey image's histogram of 256 levels: MATLAB's ``entropy(rgb2gray(image))``.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3 (BT.601 luma).
        field_of_view: (B, 1, H, W) in {0, 1}; only the pixels inside count.

    Returns:
        (B,) float64 in bits, 0 (one level only) to 8; NaN for an image with NaN inside or without a pixel
        inside.

    Raises:
        ValueError: The shapes do not fit.
    """
    grey = luminance(images)
    inside = _inside(images, field_of_view)
    return torch.stack([_entropy(image[region]) for image, region in zip(grey, inside, strict=True)])


def field_of_view(images: Tensor) -> Tensor:
    """Region of a fundus photograph or a colonoscopy frame within its black border.

    See :func:`hqgnet.data.field_of_view.estimate_field_of_view`; its rim is taken off. An image without such
    a region (all but black, or without a border) counts as a whole.

    Args:
        images: (B, C, H, W) in [0, 1].

    Returns:
        (B, 1, H, W) float32 in {0, 1}, on the device of the images.
    """
    brightest = images.detach().to("cpu", torch.float32).nan_to_num().clamp(0, 1).amax(1).numpy()
    regions = np.stack([estimate_field_of_view(image, _RIM) for image in brightest])
    return torch.from_numpy(regions).unsqueeze(1).to(images.device, torch.float32)


def _entropy(levels: Tensor) -> Tensor:
    if levels.numel() == 0 or levels.isnan().any():
        return levels.new_tensor(torch.nan)
    # Halves go up, as in MATLAB; torch.round would send them to the even level.
    counts = torch.bincount((levels + 0.5).long(), minlength=256)
    share = counts[counts > 0].double() / levels.numel()
    return (share * (1 / share).log2()).sum()


def _inside(images: Tensor, field_of_view: Tensor | None) -> Tensor:
    """(B, H, W) bool, on the CPU."""
    batch, _, height, width = images.shape
    if field_of_view is None:
        return torch.ones((batch, height, width), dtype=torch.bool)
    if field_of_view.shape != (batch, 1, height, width):
        raise ValueError(
            f"expected a field of view {(batch, 1, height, width)}, got {tuple(field_of_view.shape)}"
        )
    return field_of_view[:, 0].cpu() > 0.5
