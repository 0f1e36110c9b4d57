"""Fidelity to a clean twin, where one exists: PSNR and SSIM an image."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_PSNR = 100.0
"""dB given to images that equal their twin, whose PSNR is infinite; also the cap for all others."""

SSIM_WINDOW = 11
"""Side in pixels of the Gaussian window; smaller images have no SSIM."""


def psnr(enhanced: Tensor, twin: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10(1 / MSE), over all pixels and channels of an image.

    Args:
        enhanced: (B, C, H, W) in [0, 1].
        twin: (B, C, H, W) in [0, 1].

    Returns:
        (B,) float64 in dB, at most 100; NaN for an image with NaN.

    Raises:
        ValueError: The shapes differ.
    """
    _check(enhanced, twin)
    with torch.no_grad():
        # On the CPU, as not every device has float64.
        error = (enhanced.cpu().double() - twin.cpu().double()).square().flatten(1).mean(1)
        return (-10 * error.log10()).clamp_max(LARGEST_PSNR)


def ssim(enhanced: Tensor, twin: Tensor) -> Tensor:
    """Structural similarity as MONAI's ``SSIMMetric``: 11x11 Gaussian, sigma 1.5, valid pixels, mean over
    channels.

    Args:
        enhanced: (B, C, H, W) in [0, 1].
        twin: (B, C, H, W) in [0, 1].

    Returns:
        (B,) float32, at most 1; NaN for an image with NaN, and for all if a side is shorter than 11 pixels.

    Raises:
        ValueError: The shapes differ.
    """
    from monai.metrics.regression import SSIMMetric  # slow to import: only needed where there are twins

    _check(enhanced, twin)
    if min(enhanced.shape[-2:]) < SSIM_WINDOW:
        return torch.full((enhanced.shape[0],), torch.nan, device=enhanced.device)
    metric = SSIMMetric(spatial_dims=2, data_range=1.0, win_size=SSIM_WINDOW)
    with torch.no_grad(), torch.autocast(enhanced.device.type, enabled=False):
        similarity = metric(enhanced.float(), twin.float())
    return torch.as_tensor(similarity).flatten()


def _check(enhanced: Tensor, twin: Tensor) -> None:
    if enhanced.ndim != 4 or enhanced.shape != twin.shape:
        raise ValueError(
            f"expected two (B, C, H, W) of one shape, got {tuple(enhanced.shape)} and {tuple(twin.shape)}"
        )
