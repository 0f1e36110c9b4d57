"""The grey image on which the metrics without reference are computed."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTS = (0.298936, 0.587043, 0.114021)
"""Weights of red, green and blue (ITU-R BT.601 luma, to the digits of MATLAB's ``rgb2gray``)."""


def luminance(images: Tensor) -> Tensor:
    """Grey images.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 (taken as it is) or 3 (RGB); values outside are clipped, NaN
            stays.

    Returns:
        (B, H, W) float64 in [0, 255], not rounded, on the CPU (not every device has float64), no gradient.

    Raises:
        ValueError: Another shape.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"expected (B, 1, H, W) or (B, 3, H, W), got {tuple(images.shape)}")
    values = images.detach().cpu().double().clamp(0, 1) * 255
    if images.shape[1] == 1:
        return values[:, 0]
    return torch.einsum("bchw,c->bhw", values, values.new_tensor(WEIGHTS))
