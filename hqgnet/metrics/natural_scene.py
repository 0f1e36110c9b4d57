"""Statistics of natural scenes that NIQE, BRISQUE and PIQE are made of: normalised contrast and its fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Padding = Literal["zero", "replicate"]

WINDOW_SIDE = 7
"""Pixels a side of the Gaussian window."""

_SIGMA = 7 / 6
_ROUND_OFF = 1e-10
"""Normalised contrast below this is what round-off leaves of a flat region; its sign would count."""

_SCIPY_PADDING = {"zero": "constant", "replicate": "nearest"}
_Kind = TypeVar("_Kind", np.float64, np.bool_)


def normalised_contrast(grey: Floats, padding: Padding) -> tuple[Floats, Floats]:
    """Mean-subtracted contrast-normalised levels (MSCN): (I - mu) / (sigma + 1).

    mu and sigma are taken under a Gaussian window of 7x7 and sigma 7/6 (Mittal et al. 2012, Eq. 1 to 3).

    Args:
        grey: (H, W).
        padding: What lies around the image.

    Returns:
        (H, W) MSCN, exactly 0 in flat regions, and (H, W) sigma.
    """
    mean = _blurred(grey, padding)
    deviation = _blurred(grey * grey, padding)
    deviation -= mean * mean
    np.sqrt(np.abs(deviation, out=deviation), out=deviation)
    contrast = (grey - mean) / (deviation + 1)
    contrast[np.abs(contrast) < _ROUND_OFF] = 0
    return contrast, deviation


@dataclass(frozen=True)
class AsymmetricFit:
    """Asymmetric generalised Gaussians fitted by their moments (Mittal et al. 2012, Eq. 9 to 15).

    Attributes:
        shape: (N,), 0.2 to 10 in steps of 0.001.
        left: (N,) root mean square of the negative values; NaN without any.
        right: (N,) likewise of the positive values.
    """

    shape: Floats
    left: Floats
    right: Floats

    @property
    def width_ratio(self) -> Floats:
        """(N,) sqrt(gamma(1 / shape) / gamma(3 / shape)): from a root mean square to a width."""
        return np.asarray(np.sqrt(special.gamma(1 / self.shape) / special.gamma(3 / self.shape)))

    @property
    def mean(self) -> Floats:
        """(N,) mean of the fitted distributions (Eq. 14)."""
        middle = special.gamma(2 / self.shape) / special.gamma(1 / self.shape)
        return np.asarray((self.right - self.left) * middle * self.width_ratio)


def fit_asymmetric(values: Floats, counted: Mask | None) -> AsymmetricFit:
    """Fit the values of N blocks.

    Args:
        values: (N, H, W).
        counted: (N, H, W), the values that count; None for all.
    """
    rows, counts = _rows(values, counted)
    negative = np.minimum(rows, 0)
    positive = np.maximum(rows, 0)
    left_square, right_square = (np.einsum("np,np->n", part, part) for part in (negative, positive))
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(left_square / np.count_nonzero(negative, axis=1))
        right = np.sqrt(right_square / np.count_nonzero(positive, axis=1))
        absolute = (positive.sum(1) - negative.sum(1)) / counts
        ratio = absolute**2 / ((left_square + right_square) / counts)
        skew = left / right
        normalised = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes, ratios = _shapes()
    return AsymmetricFit(shapes[_nearest(ratios, normalised)], left, right)


def fit_symmetric(values: Floats, counted: Mask | None) -> tuple[Floats, Floats]:
    """Fit generalised Gaussians of mean 0 by their moments (Mittal et al. 2012, Eq. 4 to 6).

    Args:
        values: (N, H, W).
        counted: (N, H, W), the values that count; None for all.

    Returns:
        (N,) shapes, 0.2 to 10 in steps of 0.001, and (N,) variances.
    """
    rows, counts = _rows(values, counted)
    variance = np.einsum("np,np->n", rows, rows) / counts
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = variance / (np.abs(rows).sum(1) / counts) ** 2
    shapes, ratios = _shapes()
    # The inverse ratio falls with the shape; a search needs it to rise.
    return shapes[::-1][_nearest(1 / ratios[::-1], ratio)], variance


def neighbour_products(
    contrast: Floats, counted: Mask | None, shift: tuple[int, int]
) -> tuple[Floats, Mask | None]:
    """Products of each value with its neighbour, going around at the edges of a block as MATLAB's
    ``circshift``.

    Args:
        contrast: (N, H, W).
        counted: (N, H, W), or None.
        shift: Rows and columns.

    Returns:
        (N, H, W) products, and where both factors count.
    """
    products = contrast * np.roll(contrast, shift, (1, 2))
    return products, None if counted is None else counted & np.roll(counted, shift, (1, 2))


def blocks(values: npt.NDArray[_Kind], side: int) -> npt.NDArray[_Kind]:
    """Cut (H, W), both multiples of ``side``, into (N, side, side), row by row."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    return values.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _blurred(grey: Floats, padding: Padding) -> Floats:
    window = _window()
    mode = _SCIPY_PADDING[padding]
    return np.asarray(
        ndimage.correlate1d(ndimage.correlate1d(grey, window, 0, mode=mode), window, 1, mode=mode)
    )


@lru_cache(maxsize=1)
def _window() -> Floats:
    offsets = np.arange(WINDOW_SIDE) - WINDOW_SIDE // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=1)
def _shapes() -> tuple[Floats, Floats]:
    shapes = np.arange(200, 10_001) / 1000
    ratios = special.gamma(2 / shapes) ** 2 / (special.gamma(1 / shapes) * special.gamma(3 / shapes))
    return shapes, ratios


def _nearest(rising: Floats, values: Floats) -> npt.NDArray[np.int64]:
    """Index of the entry nearest to each value; NaN goes to the last."""
    after = np.searchsorted(rising, values).clip(1, len(rising) - 1)
    return np.asarray(after - (values - rising[after - 1] <= rising[after] - values), dtype=np.int64)


def _rows(values: Floats, counted: Mask | None) -> tuple[Floats, Floats | int]:
    """(N, P) values, 0 where they do not count, and how many count."""
    count = len(values)
    if counted is None:
        rows = values.reshape(count, -1)
        return rows, rows.shape[1]
    return np.where(counted, values, 0.0).reshape(count, -1), counted.reshape(count, -1).sum(1).astype(float)
