"""ATA: adaptive tunable Retinex enhancement, without training.

It stands for the second Retinex-based method that HQG-Net compares itself with (Section IV, [10]). Only the
name and the family of that method are known here, neither its title nor its equations: this is a build of the
family's steps, and its figures are not those of Tables III and VII.

Built: an illumination from several scales; a gamma that adapts from pixel to pixel, strong in the dark and
none in the light; detail, with a contrast that can be tuned; suppression of artefacts, namely of noise
(detail below the image's noise level is not amplified) and of halos (what detail gains is bounded). Beyond
what is told of the method: the unlit border of a fundus photograph stays as it is, and colours keep their
hue.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.classical.illumination import (
    DARKEST,
    brightness,
    illumination,
    lit_share,
    mean_where_lit,
    on_batches,
    window_radius,
    with_brightness,
)

_WINDOWS = (0.03, 0.1, 0.3)
"""Windows of the illumination's scales, as shares of the shorter side."""

_TARGET = 0.55
"""Mean illumination that the gamma aims at."""

_STRONGEST = 0.35
_HALO = 0.35
"""Bound of what is gained in detail, in natural logarithms: strong edges are not made halos."""

_NOISE_REACH = 3.0
"""Detail counts in full from so many standard deviations of the noise on."""

_MEDIAN_TO_SIGMA = 1.4826


def enhance(image: Tensor, contrast: float = 2.5) -> Tensor:
    """Light up the dark, and amplify detail but not noise.

    Args:
        image: ``(C, H, W)`` or ``(B, C, H, W)`` in [0, 1], one or three channels.
        contrast: Gain of the detail; 1 leaves it as it is.

    Returns:
        The same shape, in [0, 1]. An image of one value comes back as an image of one value; a black one
        stays black.

    Raises:
        ValueError: Another shape, integers, or a contrast below 0.
    """
    if contrast < 0:
        raise ValueError(f"contrast must be 0 or more, got {contrast}")
    return on_batches(partial(_enhance, contrast=contrast))(image)


def _enhance(image: Tensor, contrast: float) -> Tensor:
    bright = brightness(image)
    scales = torch.stack([illumination(bright, window_radius(image, share)) for share in _WINDOWS])
    light = scales.log().mean(dim=0).exp()
    lit = lit_share(light)
    detail = bright.clamp_min(DARKEST).log() - light.log()
    noise = _noise(bright, lit) / light
    certain = detail.square() / (detail.square() + (noise * _NOISE_REACH).square() + DARKEST**2)
    gained = _HALO * torch.tanh(detail * (contrast - 1) * certain / _HALO)
    return with_brightness(image, bright, light ** _gamma(light, lit) * (detail + gained).exp(), lit)


def _gamma(light: Tensor, lit: Tensor) -> Tensor:
    """Exponent a pixel (B, 1, H, W): the image's own where it is dark, towards 1 where it is bright."""
    mean = mean_where_lit(light, lit).clamp(DARKEST, 1 - DARKEST)
    overall = (math.log(_TARGET) / mean.log()).clamp(_STRONGEST, 1)
    return overall + (1 - overall) * light.square()


def _noise(bright: Tensor, lit: Tensor) -> Tensor:
    """Standard deviation (B, 1, 1, 1) of the noise: from the median diagonal difference where there is light.

    A median of absolute differences sees the pixels without structure (Donoho and Johnstone 1994). A single
    line of pixels has no diagonal: no noise is seen there.
    """
    if min(bright.shape[-2:]) < 2:
        return bright.new_zeros(len(bright), 1, 1, 1)
    kernel = bright.new_tensor([[1, -1], [-1, 1]]).view(1, 1, 2, 2) / 2
    differences = F.conv2d(bright, kernel).abs()
    inside = lit[..., 1:, 1:] > 0.5
    medians = [
        difference[where].median() if bool(where.any()) else difference.new_zeros(())
        for difference, where in zip(differences, inside, strict=True)
    ]
    return _MEDIAN_TO_SIGMA * torch.stack(medians).view(-1, 1, 1, 1)
