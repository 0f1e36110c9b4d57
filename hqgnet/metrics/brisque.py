"""BRISQUE (LIVE): distortion judged by a support vector machine on the statistics of natural scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from hqgnet.metrics.grey_region import Region, UnsuitableImageError, figures
from hqgnet.metrics.natural_scene import (
    Floats,
    fit_asymmetric,
    fit_symmetric,
    neighbour_products,
    normalised_contrast,
)

SMALLEST_SIDE = 32
"""Pixels; smaller images have too few for the statistics of the half scale."""

_SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))
_PARAMETERS = Path(__file__).parent / "parameters" / "brisque.json"


def brisque(images: Tensor, field_of_view: Tensor | None = None) -> Tensor:
    """Blind/referenceless image spatial quality evaluator (Mittal, Moorthy, Bovik 2012), LIVE's release.

    36 features (18 at either of two scales) go into LIVE's support vector regression on human judgements.
    MATLAB's own ``brisque`` is another model.

    Inside a field of view only pixels count whose 7x7 surroundings are inside: what lies outside has no
    influence at all. Compare only figures of one resolution.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3; judged as their 8-bit grey copies.
        field_of_view: (B, 1, H, W) in {0, 1}; found once on the LQ image and used for the enhanced one too.

    Returns:
        (B,) float64, mostly 0 (best) to 100 (worst), at times a little beyond. 100 for an image of one level,
        by definition here. NaN for an image with NaN inside, below 32 pixels a side, or with too little that
        is neither flat nor outside; :func:`hqgnet.metrics.scoring.suitability` says which.

    Raises:
        ValueError: The shapes do not fit.
    """
    return figures(images, field_of_view, SMALLEST_SIDE, figure)


def figure(region: Region) -> float:
    """BRISQUE of one region.

    Raises:
        UnsuitableImageError: Nothing is left to take statistics of.
    """
    features = np.concatenate([_features(region), _features(region.halved())])
    if not np.isfinite(features).all():
        what = "flat" if region.inside is None else "flat or outside the field of view"
        raise UnsuitableImageError(f"nearly all of it is {what}")
    return score_of(features)


def score_of(features: Floats) -> float:
    """The regression alone.

    Args:
        features: (36,), scale by scale: shape and variance of the MSCN levels, then shape, mean, left and
            right variance of the products with the neighbour to the right, below, and on both diagonals.
    """
    machine = _machine()
    scaled = 2 * (features - machine.lowest) / (machine.highest - machine.lowest) - 1
    distance = ((machine.support_vectors - scaled) ** 2).sum(1)
    return float(machine.coefficients @ np.exp(-machine.gamma * distance) - machine.rho)


def _features(region: Region) -> Floats:
    """(18,) features of one scale; NaN where there is nothing to fit."""
    contrast, _ = normalised_contrast(region.grey, "zero")
    clear = region.clear
    if clear is not None and not clear.any():
        return np.full(18, np.nan)
    values, counted = contrast[None], None if clear is None else clear[None]
    features = list(fit_symmetric(values, counted))
    for shift in _SHIFTS:
        fit = fit_asymmetric(*neighbour_products(values, counted, shift))
        features += [fit.shape, fit.mean, fit.left**2, fit.right**2]
    return np.concatenate(features)


@dataclass(frozen=True)
class _Machine:
    """LIVE's regression: support vectors in scaled features, and the ranges that scale to [-1, 1]."""

    support_vectors: Floats
    coefficients: Floats
    gamma: float
    rho: float
    lowest: Floats
    highest: Floats


@lru_cache(maxsize=1)
def _machine() -> _Machine:
    numbers = json.loads(_PARAMETERS.read_bytes())
    return _Machine(
        np.array(numbers["support_vectors"]),
        np.array(numbers["coefficients"]),
        numbers["gamma"],
        numbers["rho"],
        np.array(numbers["lowest"]),
        np.array(numbers["highest"]),
    )
