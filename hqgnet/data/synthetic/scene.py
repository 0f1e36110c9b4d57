"""What every renderer returns: one clean scene, its mask and what was drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SUPERSAMPLING = 2
"""Scenes are drawn this many times larger and averaged down, so that thin structures are anti-aliased."""


@dataclass(frozen=True)
class Scene:
    """A clean scene over the whole frame, before a camera has cut its field of view out of it.

    Attributes:
        image: (H, W, C) in [0, 1]; C is 3 for colour scenes, 1 for grey ones.
        mask: (H, W) uint8, 255 on the structure of interest (vessels, nerve fibres, polyp), 0 elsewhere.
        metadata: What was drawn (``eye``, ``polyps``, ...), for people and for tests.
    """

    image: FloatArray
    mask: NDArray[np.uint8]
    metadata: Mapping[str, str | int | float]


def downsample(image: FloatArray) -> FloatArray:
    """Average blocks of ``SUPERSAMPLING`` pixels of (H, W) or (H, W, C)."""
    factor = SUPERSAMPLING
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(height, factor, width, factor, *image.shape[2:])
    averaged: FloatArray = blocks.mean(axis=(1, 3))
    return averaged


def to_mask(coverage: FloatArray, threshold: float = 0.4) -> NDArray[np.uint8]:
    """Turn an anti-aliased coverage (H, W) in [0, 1] into a mask of 0 and 255."""
    return np.where(coverage >= threshold, 255, 0).astype(np.uint8)


def frame_grid(side: int, zoom: float) -> tuple[FloatArray, FloatArray]:
    """Coordinates of the pixel centres, x to the right and y upwards, in [-1 / zoom, 1 / zoom].

    Args:
        side: Height and width of the square frame in pixels.
        zoom: How much of the unit field fits: 1 shows it all, 1.2 a narrower part of it.

    Returns:
        x and y, each (side, side).
    """
    axis = ((np.arange(side) + 0.5) / side * 2.0 - 1.0) / zoom
    x, y = np.meshgrid(axis, -axis)
    return x, y


def smooth_step(x: FloatArray, low: float, high: float) -> FloatArray:
    """Hermite step: 0 below ``low``, 1 above ``high`` (or the reverse where ``low`` > ``high``)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    step: FloatArray = t * t * (3.0 - 2.0 * t)
    return step
