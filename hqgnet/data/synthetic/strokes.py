"""Tapered curved strokes: the vessels, fibres and stalks that the scenes are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hqgnet.data.synthetic.scene import FloatArray


@dataclass(frozen=True)
class Stroke:
    """A curve with a radius at every point.

    Attributes:
        points: (N, 2) x and y, in scene units or pixels, closely spaced.
        radii: (N,) in the same unit.
    """

    points: FloatArray
    radii: FloatArray

    def tangent(self, index: int) -> float:
        """Direction of travel at a point, in radians."""
        before, after = max(index - 2, 0), min(index + 2, len(self.points) - 1)
        dx, dy = self.points[after] - self.points[before]
        return float(np.arctan2(dy, dx))


def walk(
    start: FloatArray,
    heading: float,
    length: float,
    step: float,
    rng: np.random.Generator,
    *,
    bend: float = 0.0,
    tortuosity: float = 0.0,
) -> FloatArray:
    """A smooth path from ``start``.

    Args:
        start: (2,) first point.
        heading: First direction in radians.
        length: Length of the path.
        step: Distance between neighbouring points.
        rng: Source of randomness for the windings.
        bend: Total turn over the path in radians.
        tortuosity: Amplitude of the windings in radians.

    Returns:
        (N, 2) points.
    """
    count = max(int(length / step), 2)
    along = np.arange(count) * step
    waves = sum(
        (
            weight * np.sin(2 * np.pi * along / wavelength + rng.uniform(0, 2 * np.pi))
            for weight, wavelength in zip((1.0, 0.6), rng.uniform([0.30, 0.10], [0.70, 0.25]), strict=True)
        ),
        np.zeros(count),
    )
    angle = heading + bend * along / max(length, step) + tortuosity * waves
    steps = step * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    steps[0] = 0.0
    path: FloatArray = start + np.cumsum(steps, axis=0)
    return path


def through(waypoints: FloatArray, step: float) -> FloatArray:
    """A Catmull-Rom curve through (K, 2) way-points, resampled to points about ``step`` apart."""
    padded = np.vstack([2 * waypoints[0] - waypoints[1], waypoints, 2 * waypoints[-1] - waypoints[-2]])
    t = np.linspace(0.0, 1.0, 24, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    curve = np.vstack([*pieces, waypoints[-1:]])
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
    even = np.linspace(0.0, arc[-1], max(int(arc[-1] / step), 2))
    return np.stack([np.interp(even, arc, curve[:, 0]), np.interp(even, arc, curve[:, 1])], axis=1)


def stamp(
    side: int,
    strokes: Sequence[Stroke],
    strength: Sequence[FloatArray] | None = None,
) -> FloatArray:
    """Draw strokes given in pixels (x to the right, y downwards, pixel centres at .5).

    Args:
        side: Height and width of the square frame in pixels.
        strokes: What to draw; where strokes overlap the stronger value counts.
        strength: One (N,) array a stroke that scales its coverage; 1 where None.

    Returns:
        (side, side) anti-aliased coverage in [0, 1] times strength.
    """
    canvas = np.zeros(side * side)
    if not strokes:
        return canvas.reshape(side, side)
    points = np.vstack([stroke.points for stroke in strokes]) - 0.5
    radii = np.concatenate([stroke.radii for stroke in strokes])
    scale = np.ones(len(radii)) if strength is None else np.concatenate(list(strength))
    reach = np.ceil(radii + 0.5).astype(int)
    for half in np.unique(reach):
        chosen = reach == half
        centre, radius = points[chosen], radii[chosen, None]
        offset = np.arange(-half, half + 1)
        dx, dy = (grid.ravel() for grid in np.meshgrid(offset, offset))
        column = np.rint(centre[:, :1]).astype(int) + dx
        row = np.rint(centre[:, 1:]).astype(int) + dy
        distance = np.hypot(column - centre[:, :1], row - centre[:, 1:])
        value = np.clip(radius + 0.5 - distance, 0.0, 1.0) * scale[chosen, None]
        drawn = (column >= 0) & (column < side) & (row >= 0) & (row < side) & (value > 0)
        np.maximum.at(canvas, (row * side + column)[drawn], value[drawn])
    return canvas.reshape(side, side)
