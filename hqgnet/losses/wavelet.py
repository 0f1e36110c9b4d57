"""Structure preservation by the high frequencies of one Haar level (Eq. 7)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Literal, get_args

import pywt
import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.losses.precision import full_precision, without_autocast

SubBand = Literal["horizontal", "vertical", "diagonal"]
SUB_BANDS: tuple[SubBand, ...] = get_args(SubBand)
"""The detail sub-bands, in pywt's order (cH, cV, cD)."""


@cache
def _filters(bands: tuple[SubBand, ...]) -> Tensor:
    """2x2 kernels (len(bands), 1, 2, 2) of the bands, as cross-correlations, float64."""
    wavelet = pywt.Wavelet("haar")
    # pywt convolves, torch correlates: the taps are reversed.
    low = torch.tensor(wavelet.dec_lo[::-1], dtype=torch.float64)
    high = torch.tensor(wavelet.dec_hi[::-1], dtype=torch.float64)
    by_band = {
        "horizontal": torch.outer(high, low),
        "vertical": torch.outer(low, high),
        "diagonal": torch.outer(high, high),
    }
    return torch.stack([by_band[band] for band in bands]).unsqueeze(1)


def _details(images: Tensor, bands: tuple[SubBand, ...]) -> Tensor:
    batch, channels, height, width = images.shape
    images = full_precision(images)
    if height % 2 or width % 2:
        images = F.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
    kernels = _filters(bands).to(images).repeat(channels, 1, 1, 1)
    with without_autocast(images):
        details = F.conv2d(images, kernels, stride=2, groups=channels)
    return details.view(batch, channels, len(bands), *details.shape[-2:])


def haar_details(images: Tensor) -> Tensor:
    """Detail sub-bands of one orthonormal Haar level, equal to ``pywt.dwt2(image, "haar")[1]``.

    Args:
        images: (B, C, H, W), any values. An odd side is extended by its last row or column (pywt's
            ``symmetric``).

    Returns:
        (B, C, 3, ceil(H / 2), ceil(W / 2)) in the order cH, cV, cD; float32, or float64 for float64 images.
    """
    return _details(images, SUB_BANDS)


class HaarLoss:
    """Mean absolute difference between the Haar details of the enhanced and the LQ image (Eq. 7).

    The paper sums the absolute differences; the mean is taken here so that the weight does not depend on the
    size.

    Args:
        sub_bands: The bands that count (Table Vg), any order.

    Raises:
        ConfigurationError: There is no band, or one that does not exist.
    """

    def __init__(self, sub_bands: Iterable[SubBand] = SUB_BANDS) -> None:
        chosen = [sub_bands] if isinstance(sub_bands, str) else list(sub_bands)
        unknown = [band for band in chosen if band not in SUB_BANDS]
        if unknown or not chosen:
            what = f"unknown sub-bands {unknown}" if unknown else "no sub-band is chosen"
            remedy = (
                f"Choose at least one of {', '.join(SUB_BANDS)}, or leave the Haar loss out by its weight."
            )
            raise ConfigurationError(Problem("losses: haar sub_bands", what, remedy))
        self.sub_bands: tuple[SubBand, ...] = tuple(band for band in SUB_BANDS if band in chosen)

    def __call__(self, enhanced: Tensor, lq: Tensor) -> Tensor:
        """Loss between two batches.

        Args:
            enhanced: (B, C, H, W) in [0, 1].
            lq: (B, C, H, W) in [0, 1].

        Returns:
            Scalar, 0 where the details are equal.

        Raises:
            ValueError: The shapes differ.
        """
        if enhanced.shape != lq.shape:
            raise ValueError(f"enhanced {tuple(enhanced.shape)} and lq {tuple(lq.shape)} differ in shape")
        # The transform is linear, so one transform of the difference does the work of two.
        return _details(full_precision(enhanced) - full_precision(lq), self.sub_bands).abs().mean()
