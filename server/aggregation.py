"""The weighted mean of the sites' updates, in running sums: one update in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Array, Arrays


class RunningMean:
    """Accumulates weighted updates; a parameter's mean is over the sites that sent it.

    Weights are whole numbers (image counts). A float32 value times such a weight is exact in float64, and
    each sum is kept as two float64 numbers (Knuth's two-sum), so the mean does not depend on the order in
    which sites answer: the same seed gives the same model. Integer buffers are averaged in integers and
    rounded half up.
    """

    def __init__(self) -> None:
        self._high: dict[str, NDArray[np.float64]] = {}
        self._low: dict[str, NDArray[np.float64]] = {}
        self._integers: dict[str, NDArray[np.int64]] = {}
        self._weights: dict[str, int] = {}
        self.updates = 0

    def add(self, arrays: Mapping[str, Array], weight: int) -> None:
        """Fold one update in; the arrays are not kept.

        Args:
            arrays: Checked beforehand: float32 or int64, finite, of one shape a name.
            weight: At least 1.

        Raises:
            ValueError: For a weight that is not a positive whole number.
        """
        if type(weight) is not int or weight < 1:
            raise ValueError(f"weight {weight!r} is not a positive whole number")
        for name, array in arrays.items():
            self._weights[name] = self._weights.get(name, 0) + weight
            if np.issubdtype(array.dtype, np.integer):
                self._integers[name] = self._integers.get(name, np.int64(0)) + array.astype(np.int64) * weight
            else:
                self._add_exactly(name, array.astype(np.float64) * weight)
        self.updates += 1

    def mean(self) -> Arrays:
        """Return the weighted mean of what was added: float32, and int64 for integer buffers."""
        means: Arrays = {}
        for name, weight in self._weights.items():
            if name in self._integers:
                means[name] = np.asarray((2 * self._integers[name] + weight) // (2 * weight), dtype=np.int64)
            else:
                means[name] = np.asarray((self._high[name] + self._low[name]) / weight, dtype=np.float32)
        return means

    def _add_exactly(self, name: str, term: NDArray[np.float64]) -> None:
        if name not in self._high:
            self._high[name] = term
            self._low[name] = np.zeros_like(term)
            return
        before = self._high[name]
        total = before + term
        taken = total - before
        self._low[name] = self._low[name] + ((before - (total - taken)) + (term - taken))
        self._high[name] = total
