"""NIQE (LIVE): how far an image's statistics are from those of natural photographs."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from hqgnet.metrics.grey_region import FLAT, Region, UnsuitableImageError, figures
from hqgnet.metrics.natural_scene import (
    Floats,
    Mask,
    blocks,
    fit_asymmetric,
    neighbour_products,
    normalised_contrast,
)

SMALLEST_SIDE = 192
"""Pixels: below two blocks a side there is no covariance over blocks worth the name."""

_BLOCK = 96
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SMALLEST_SHARE = 0.5
_PARAMETERS = Path(__file__).parent / "parameters" / "niqe.json"


def niqe(images: Tensor, field_of_view: Tensor | None = None) -> Tensor:
    """Natural image quality evaluator (Mittal, Soundararajan, Bovik 2013), as LIVE's release computes it.

    36 features (18 at either of two scales) of every block of 96x96 pixels give a Gaussian, which is compared
    with LIVE's Gaussian of 125 natural photographs. All blocks count; only the photographs were chosen by
    sharpness. MATLAB's own ``niqe`` is another model.

    Inside a field of view the blocks are laid around its centre, a block counts if more than half of it can
    be judged, and its statistics are those of pixels whose 7x7 surroundings are inside. What lies outside has
    no influence at all. Compare only figures of one resolution.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3; judged as their 8-bit grey copies.
        field_of_view: (B, 1, H, W) in {0, 1}; found once on the LQ image and used for the enhanced one too.

    Returns:
        (B,) float64, 0 or more, lower is better; photographs have 2 to 6, noise of two levels 680. 100
        (``FLAT``) by definition here where fewer than two of its blocks are not flat. NaN for an image
        with NaN inside, below 192 pixels a side, or with fewer than two blocks inside;
        :func:`hqgnet.metrics.scoring.suitability` says which.

    Raises:
        ValueError: The shapes do not fit.
    """
    return figures(images, field_of_view, SMALLEST_SIDE, figure)


def figure(region: Region) -> float:
    """NIQE of one region.

    Raises:
        UnsuitableImageError: The field of view holds fewer than two blocks.
    """
    tiled = region.tiled(_BLOCK)
    scales = ((tiled, _BLOCK), (tiled.halved(), _BLOCK // 2))
    inside = np.all([_inside(scale, side) for scale, side in scales], axis=0)
    if inside.sum() < 2:
        what = f"{inside.sum()} blocks of {_BLOCK} pixels lie mostly inside the field of view, fewer than 2"
        raise UnsuitableImageError(what)
    features = np.hstack([_features(scale, side) for scale, side in scales])[inside]
    features = features[np.isfinite(features).all(1)]
    if len(features) < 2:
        return FLAT
    mean, covariance = _natural()
    difference = features.mean(0) - mean
    pooled = (covariance + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


def _inside(region: Region, side: int) -> Mask:
    """(N,): more than half of a block can be judged."""
    clear = region.clear
    if clear is None:
        return np.ones(region.grey.size // side**2, bool)
    return np.asarray(blocks(clear, side).mean((1, 2)) > _SMALLEST_SHARE)


def _features(region: Region, side: int) -> Floats:
    """(N, 18) features of the blocks; NaN for flat ones."""
    contrast, _ = normalised_contrast(region.grey, "replicate")
    clear = region.clear
    values = blocks(contrast, side)
    counted = None if clear is None else blocks(clear, side)
    fit = fit_asymmetric(values, counted)
    features = [fit.shape, (fit.left + fit.right) / 2 * fit.width_ratio]
    for shift in _SHIFTS:
        fit = fit_asymmetric(*neighbour_products(values, counted, shift))
        features += [fit.shape, fit.mean, fit.left * fit.width_ratio, fit.right * fit.width_ratio]
    return np.stack(features, axis=1)


@lru_cache(maxsize=1)
def _natural() -> tuple[Floats, Floats]:
    numbers = json.loads(_PARAMETERS.read_bytes())
    return np.array(numbers["mean"]), np.array(numbers["covariance"])
