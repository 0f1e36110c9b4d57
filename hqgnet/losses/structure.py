"""StillGAN's structure loss: SSIM's structure term alone (Ma et al., doi 10.1109/TMI.2021.3101937)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.losses.precision import full_precision, without_autocast

WINDOW, SIGMA = 11, 1.5
STABILITY = 0.03**2 / 2
"""C_3, half of SSIM's C_2, for images in [0, 1]."""

_SMALLEST_VARIANCE = 1e-12


def structure_loss(first: Tensor, second: Tensor) -> Tensor:
    """One minus the mean of (sigma_xy + C_3) / (sigma_x sigma_y + C_3), in a Gaussian window of 11 and 1.5.

    The correlation of local patterns: neither brightness nor contrast counts. Windows lie wholly inside the
    image; a side shorter than 11 pixels gets a window of the largest odd number of pixels that fits.

    Args:
        first: (B, C, H, W) in [0, 1].
        second: (B, C, H, W) in [0, 1].

    Returns:
        Scalar in [0, 2], 0 for images whose local patterns are equal.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"images {tuple(first.shape)} and {tuple(second.shape)} differ in shape")
    x, y = full_precision(first), full_precision(second)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _smoothed(torch.stack([x, y, x * x, y * y, x * y]))
    variance_x = (mean_xx - mean_x.square()).clamp_min(_SMALLEST_VARIANCE)
    variance_y = (mean_yy - mean_y.square()).clamp_min(_SMALLEST_VARIANCE)
    # One root of the product: its gradient stays finite where a variance is nearly zero.
    deviations = (variance_x * variance_y).sqrt()
    structure = (mean_xy - mean_x * mean_y + STABILITY) / (deviations + STABILITY)
    loss: Tensor = 1.0 - structure.mean()
    return loss


def _smoothed(images: Tensor) -> Tensor:
    """Return local means of images (N, B, C, H, W), without border."""
    *leading, height, width = images.shape
    flat = images.reshape(-1, 1, height, width)
    rows, columns = (_gaussian(side).to(images) for side in (height, width))
    with without_autocast(images):
        smoothed = F.conv2d(F.conv2d(flat, rows.view(1, 1, -1, 1)), columns.view(1, 1, 1, -1))
    return smoothed.view(*leading, *smoothed.shape[-2:])


def _gaussian(side: int) -> Tensor:
    length = min(WINDOW, side - (side + 1) % 2)
    offsets = torch.arange(length, dtype=torch.float64) - length // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    return weights / weights.sum()
