"""Smooth random fields: the texture of tissue and the drift of light."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hqgnet.data.synthetic.scene import FloatArray


@lru_cache(maxsize=64)
def _spline_basis(length: int, cells: float) -> FloatArray:
    """Uniform cubic B-spline weights, (length, knots), for a field of ``cells`` cells along one axis."""
    position = (np.arange(length) + 0.5) / length * cells
    knot = np.floor(position).astype(int)
    t = position - knot
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3],
        axis=1,
    )
    basis = np.zeros((length, int(np.ceil(cells)) + 4))
    for offset in range(4):
        basis[np.arange(length), knot + offset] += weights[:, offset] / 6.0
    return basis


def smooth_field(shape: tuple[int, int], cells: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random field of zero mean and unit standard deviation.

    Args:
        shape: Height and width in pixels.
        cells: How many independent bumps fit along the longer side.
        rng: Source of randomness.

    Returns:
        (H, W), roughly Gaussian values.
    """
    scale = cells / max(shape)
    rows = _spline_basis(shape[0], scale * shape[0])
    columns = _spline_basis(shape[1], scale * shape[1])
    field = rows @ rng.standard_normal((rows.shape[1], columns.shape[1])) @ columns.T
    field -= field.mean()
    normalised: FloatArray = field / max(float(field.std()), 1e-9)
    return normalised


def fractal_field(shape: tuple[int, int], cells: float, octaves: int, rng: np.random.Generator) -> FloatArray:
    """A sum of smooth fields, each twice as fine and about half as strong as the last, of unit deviation."""
    field = sum(
        (0.55**octave * smooth_field(shape, cells * 2**octave, rng) for octave in range(octaves)),
        np.zeros(shape),
    )
    normalised: FloatArray = field / max(float(field.std()), 1e-9)
    return normalised
