"""PIQE: how much of what can be seen in an image is distorted, judged block by block."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from hqgnet.metrics.grey_region import Region, UnsuitableImageError, figures
from hqgnet.metrics.natural_scene import Floats, Mask, blocks, normalised_contrast

SMALLEST_SIDE = 32
"""Pixels: two blocks a side."""

_BLOCK = 16
_SEGMENT = 6
_ACTIVE = 0.1
_IMPAIRED = 0.1

_CENTRE = [7, 8]
_NOT_AROUND = [7, 9]
"""Columns of a block. The surroundings are not all but the centre: MATLAB's figures come out to their
last digit only if the second column to leave out is counted when the first has gone."""


def piqe(images: Tensor, field_of_view: Tensor | None = None) -> Tensor:
    """Perception based image quality evaluator (Venkatanath et al. 2015), with MATLAB's figures.

    Of the blocks of 16x16 pixels whose normalised contrast has a variance above 0.1 (what is seen), those
    count as distorted that have a nearly straight edge (blockiness, blur) or as much noise in their centre as
    around it. Nothing was learnt from images.

    Inside a field of view a block counts if all its pixels and their 7x7 surroundings are inside: what lies
    outside has no influence at all. Compare only figures of one resolution.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3; judged as their 8-bit grey copies.
        field_of_view: (B, 1, H, W) in {0, 1}; found once on the LQ image and used for the enhanced one too.

    Returns:
        (B,) float64, 0 (best) to 100 (worst); 100 too where there is no contrast to be seen, as the formula
        has it. NaN for an image with NaN inside, below 32 pixels a side, or without a block inside;
        :func:`hqgnet.metrics.scoring.suitability` says which.

    Raises:
        ValueError: The shapes do not fit.
    """
    return figures(images, field_of_view, SMALLEST_SIDE, figure)


def figure(region: Region) -> float:
    """PIQE of one region.

    Raises:
        UnsuitableImageError: No block lies inside.
    """
    grey = np.floor(255 * region.grey / max(region.levels.max(), 1) + 0.5)
    padding = [(0, -length % _BLOCK) for length in grey.shape]
    contrast, _ = normalised_contrast(np.pad(grey, padding, mode="symmetric"), "replicate")
    values = blocks(contrast, _BLOCK)
    clear = region.clear
    if clear is not None:
        values = values[blocks(np.pad(clear, padding), _BLOCK).all((1, 2))]
        if not len(values):
            raise UnsuitableImageError(f"no block of {_BLOCK} pixels lies inside the field of view")
    variance = values.var((1, 2), ddof=1)
    values, variance = values[variance > _ACTIVE], variance[variance > _ACTIVE]
    distortion = (1 - variance)[_has_straight_edge(values)].sum() + variance[
        _is_noisy(values, variance)
    ].sum()
    return float(100 * (distortion + 1) / (len(values) + 1))


def _has_straight_edge(values: Floats) -> Mask:
    """(N,): a segment of six pixels on one of the four edges of a block is all but constant (Eq. 6, 7)."""
    edges = np.stack([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, _SEGMENT, axis=2)
    return np.asarray((segments.std(3, ddof=1) < _IMPAIRED).any((1, 2)))


def _is_noisy(values: Floats, variance: Floats) -> Mask:
    """(N,): the deviation of a block is more than twice the contrast between its centre and the rest (Eq. 9
    to 11)."""
    centre = values[:, :, _CENTRE].std((1, 2), ddof=1)
    around = np.delete(values, _NOT_AROUND, axis=2).std((1, 2), ddof=1)
    deviation = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing at all around the centre is no noise
        contrast = np.abs(deviation - centre / around) / np.maximum(deviation, centre / around)
    return np.asarray(deviation > 2 * contrast)
