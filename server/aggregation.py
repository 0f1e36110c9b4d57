"""The weighted mean of updates on disk, in float64, a block of each at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Array, Arrays
from server.spool import StoredUpdate
from server.streaming import Block, stream, stretches

# Measured: shorter pieces wait for memory at every change from one update to the next, longer ones leave the
# caches. The matrix product must stay below 4e5 numbers, from which OpenBLAS brings threads of its own.
_PIECE = 65_536
_TOGETHER = 4


def weighted_mean(updates: Sequence[StoredUpdate], threads: int | None = None) -> Arrays:
    """Return the weighted mean: float32, and int64 for integer buffers.

    A parameter's mean is over the updates that hold it. Weights are whole numbers, so that a float32 value
    times a weight is exact in float64; sums are in float64, in the order of the updates, whatever the number
    of threads. Integers are averaged in integers and rounded half up.

    Args:
        updates: In an order that does not depend on who answered first.
        threads: See :func:`server.streaming.stream`.
    """
    means = stream(stretches(updates), _Mean, threads)
    return means | {name: _integer_mean(name, updates) for name in integer_names(updates)}


def integer_names(updates: Sequence[StoredUpdate]) -> list[str]:
    """Return the names of the updates' integer buffers."""
    names = {name for update in updates for name, place in update.places.items() if place.dtype == np.int64}
    return sorted(names)


class _Mean:
    """Folds updates into a sum, some at a time: each is widened, and a matrix product weighs and adds."""

    def __init__(self) -> None:
        self._wide = np.empty(_TOGETHER * _PIECE)
        self._sum = np.empty(_PIECE)
        self._part = np.empty(_PIECE)

    def __call__(self, block: Block) -> None:
        """Write the weighted mean of a block."""
        weights = np.array([update.weight for update in block.stretch.updates], np.float64)
        whole = sum(update.weight for update in block.stretch.updates)
        for first in range(0, len(block.out), _PIECE):
            last = min(first + _PIECE, len(block.out))
            total = self._add(block, first, last, weights)
            total /= whole
            np.copyto(block.out[first:last], total, casting="same_kind")

    def _add(self, block: Block, first: int, last: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        size = last - first
        total, part = self._sum[:size], self._part[:size]
        for row, numbers in block.rows(first, last):
            place = row % _TOGETHER
            np.copyto(self._wide[place * size : (place + 1) * size], numbers)
            if place == _TOGETHER - 1 or row == len(weights) - 1:
                together = self._wide[: (place + 1) * size].reshape(place + 1, size)
                np.dot(weights[row - place : row + 1], together, out=part if row >= _TOGETHER else total)
                if row >= _TOGETHER:
                    np.add(total, part, out=total)
        return total


def _integer_mean(name: str, updates: Sequence[StoredUpdate]) -> Array:
    senders = [update for update in updates if name in update.places]
    total: NDArray[np.int64] = np.zeros(senders[0].places[name].shape, np.int64)
    weight = 0
    for update in senders:
        total = total + np.asarray(update.array(name), np.int64) * update.weight
        weight += update.weight
    return np.asarray((2 * total + weight) // (2 * weight), dtype=np.int64)
