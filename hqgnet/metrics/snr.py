"""Signal-to-noise ratio of corneal nerves in confocal microscopy."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.metrics.luminance import luminance

SnrVariant = Literal["ring", "authors"]

PAPER_RADII = (3, 5, 7, 9)
"""Radii in pixels of Table III."""


def snr(images: Tensor, nerve_mask: Tensor, radius: int, variant: SnrVariant = "ring") -> Tensor:
    """SNR_r = 10 log10(max(signal)^2 / var(noise)): nerves against the tissue beside them.

    The signal is the grey image on the nerve mask. The noise (population variance) is that of

    - ``ring``: the pixels off the mask and no further than ``radius`` (Euclidean) from it, and no others;
    - ``authors``: the whole image, zero but for the pixels that a dilation by a ``radius`` x ``radius``
      square adds to the mask, as the paper's own figures were made. The zeros count: compare with published
      tables only.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3 (BT.601 luma).
        nerve_mask: (B, 1, H, W) in {0, 1}.
        radius: Pixels, 1 or more; the paper's are 3, 5, 7 and 9.
        variant: See above.

    Returns:
        (B,) float64 in dB; NaN where the mask or the ring is empty, the noise has no variance, the signal is
        black, or the image has NaN.

    Raises:
        ConfigurationError: The variant is unknown or the radius below 1.
        ValueError: The shapes do not fit.
    """
    if variant not in get_args(SnrVariant):
        known = ", ".join(get_args(SnrVariant))
        problem = Problem("metrics: snr variant", f"unknown variant '{variant}'", f"Choose one of {known}.")
        raise ConfigurationError(problem)
    if radius < 1:
        raise ConfigurationError(Problem("metrics: snr radius", f"{radius} pixels", "Give 1 or more."))
    grey = luminance(images).numpy()
    batch, _, height, width = images.shape
    if nerve_mask.shape != (batch, 1, height, width):
        raise ValueError(f"expected a mask {(batch, 1, height, width)}, got {tuple(nerve_mask.shape)}")
    masks = (nerve_mask[:, 0] > 0.5).cpu().numpy()
    values = [_snr(image, mask, radius, variant) for image, mask in zip(grey, masks, strict=True)]
    return torch.tensor(values, dtype=torch.float64)


def _snr(
    image: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_], radius: int, variant: SnrVariant
) -> float:
    if not mask.any() or np.isnan(image).any():
        return float("nan")
    if variant == "ring":
        ring = (ndimage.distance_transform_edt(~mask) <= radius) & ~mask
        noise = image[ring]
    else:
        ring = ndimage.binary_dilation(mask, np.ones((radius, radius), dtype=bool)) & ~mask
        noise = np.where(ring, image, 0.0).ravel()
    peak = image[mask].max()
    # Compared with the range, as the variance of equal numbers need not round to 0.
    if not ring.any() or np.ptp(noise) == 0 or peak <= 0:
        return float("nan")
    return float(10 * np.log10(peak**2 / noise.var()))
