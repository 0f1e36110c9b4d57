"""StillGAN's illumination regularisation (Ma et al., doi 10.1109/TMI.2021.3101937)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.losses.precision import full_precision, without_autocast

SCALES = (48, 96)
"""Sides of the regions, in pixels."""


def illumination_loss(images: Tensor) -> Tensor:
    """Mean absolute difference between the brightness of large regions and of the whole image.

    For each scale, means over regions of 48 and of 96 pixels, minus the image's mean, enlarged to the image's
    size by bicubic interpolation. Regions at the border take the pixels that are there; an image smaller than
    a region is one region, and counts 0 (our decisions, as is the sum over the scales).

    Args:
        images: (B, C, H, W), any values.

    Returns:
        Scalar >= 0, 0 for an image that is equally bright everywhere.
    """
    images = full_precision(images)
    overall = images.mean(dim=(2, 3), keepdim=True)
    total = images.new_zeros(())
    with without_autocast(images):
        for scale in SCALES:
            regions = F.avg_pool2d(images, scale, ceil_mode=True, count_include_pad=False)
            unevenness = F.interpolate(
                regions - overall, size=images.shape[-2:], mode="bicubic", align_corners=False
            )
            total = total + torch.mean(torch.abs(unevenness))
    return total
