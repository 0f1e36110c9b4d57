"""The mean of a figure over images, with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hqgnet.report.figures import finite

_DRAWS = 2000
_PERCENTILES = (2.5, 97.5)
_NUMBERS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its 95 % interval.

    Attributes:
        mean: Over the images that have the figure.
        low: 2.5th percentile of the bootstrap's means; None with fewer than two images.
        high: 97.5th percentile, likewise.
        images: How many have the figure.
    """

    mean: float
    low: float | None
    high: float | None
    images: int


def mean_interval(values: Iterable[object]) -> MeanInterval | None:
    """Return mean and percentile bootstrap interval over images; the same values give the same interval.

    Args:
        values: A figure an image; missing, NaN and infinite ones are left out.

    Returns:
        None where no image has the figure.
    """
    known = np.array([number for value in values if (number := finite(value)) is not None])
    if not len(known):
        return None
    if len(known) == 1:
        return MeanInterval(float(known[0]), None, None, 1)
    generator = np.random.default_rng(0)
    step = max(1, _NUMBERS_AT_ONCE // len(known))
    draws = [min(step, _DRAWS - begun) for begun in range(0, _DRAWS, step)]
    means = [known[generator.integers(len(known), size=(count, len(known)))].mean(axis=1) for count in draws]
    low, high = np.percentile(np.concatenate(means), _PERCENTILES)
    return MeanInterval(float(known.mean()), float(low), float(high), len(known))
