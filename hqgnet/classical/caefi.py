"""CAEFI, called CARFI in the text: contrast-aware Retinex enhancement, without training.

It stands for the first Retinex-based method that HQG-Net compares itself with (Section IV, [9]). Only the
name and the family of that method are known here, neither its title nor its equations: this is a build of the
family's steps, and its figures are not those of Tables III and VII.

Built: the Retinex model brightness = illumination x reflectance; an edge-keeping estimate
of the illumination; a gamma an image, adapted to its mean illumination; reflectance amplified where the local
contrast is low. Beyond what is told of the method: the unlit border of a fundus photograph stays as it is,
and colours keep their hue. Behind it: no noise is removed, and nothing is fitted to a modality.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hqgnet.classical.illumination import (
    DARKEST,
    box_mean,
    brightness,
    illumination,
    lit_share,
    mean_where_lit,
    on_batches,
    window_radius,
    with_brightness,
)

_WINDOW = 0.12
"""Window of the illumination, as a share of the shorter side."""

_CONTRAST_WINDOW = 0.04

_TARGET = 0.5
"""Mean illumination that the gamma aims at."""

_GAMMA = (0.4, 1.25)
"""Bounds of the gamma: below, noise in the dark takes over; above, a bright image would be put out."""

_DETAIL = 1.5
_LOW_CONTRAST = 0.08
"""Reflectance is raised to the power 1 + _DETAIL where there is no contrast, and to less the nearer the local
standard deviation, as a share of the local mean, comes to _LOW_CONTRAST and above."""


@on_batches
def enhance(image: Tensor) -> Tensor:
    """Even out the light and lift weak contrast.

    Args:
        image: ``(C, H, W)`` or ``(B, C, H, W)`` in [0, 1], one or three channels.

    Returns:
        The same shape, in [0, 1]. An image of one value comes back as an image of one value; a black one
        stays black.

    Raises:
        ValueError: Another shape, or integers.
    """
    bright = brightness(image)
    light = illumination(bright, window_radius(image, _WINDOW))
    lit = lit_share(light)
    mean = mean_where_lit(light, lit).clamp(DARKEST, 1 - DARKEST)
    gamma = (math.log(_TARGET) / mean.log()).clamp(*_GAMMA)
    radius = window_radius(image, _CONTRAST_WINDOW)
    local = box_mean(bright, radius)
    deviation = (box_mean(bright * bright, radius) - local**2).clamp_min(0).sqrt()
    contrast = deviation / local.clamp_min(DARKEST)
    exponent = 1 + _DETAIL * torch.exp(-((contrast / _LOW_CONTRAST) ** 2))
    reflectance = (bright / light).clamp_min(DARKEST)
    return with_brightness(image, bright, light**gamma * reflectance**exponent, lit)
