"""BRISQUE (LIVE): distortion judged by a support vector machine on the statistics of natural scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from hqgnet.metrics.grey_region import FLAT, Region, UnsuitableImageError, figures
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
        (B,) float64, lower is better; photographs have about 0 to 100, what is no photograph at times more
        (one white pixel on black: 216). 100 (``FLAT``) by definition here where an image is too flat for
        statistics. NaN for an image with NaN inside, below 32 pixels a side, or with hardly a pixel inside;
        :func:`hqgnet.metrics.scoring.suitability` says which.

    Raises:
        ValueError: The shapes do not fit.
    """
    return figures(images, field_of_view, SMALLEST_SIDE, figure)


def figure(region: Region) -> float:
    """BRISQUE of one region.

    Raises:
        UnsuitableImageError: The field of view holds nothing to take statistics of.
    """
    features = np.concatenate([_features(region), _features(region.halved())])
    return score_of(features) if np.isfinite(features).all() else FLAT


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
    """(18,) features of one scale; NaN where an image is too flat for a fit."""
    contrast, _ = normalised_contrast(region.grey, "zero")
    clear = region.clear
    values, counted = contrast[None], None if clear is None else clear[None]
    products = [neighbour_products(values, counted, shift) for shift in _SHIFTS]
    if any(both is not None and not both.any() for _, both in products):
        raise UnsuitableImageError("hardly a pixel and its surroundings lie inside the field of view")
    features = list(fit_symmetric(values, counted))
    for product, both in products:
        fit = fit_asymmetric(product, both)
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
