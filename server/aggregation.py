"""The weighted mean of updates on disk, a block of each at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Array, Arrays
from server.spool import StoredUpdate
from server.streaming import Block, stream, stretches

# A block of eight updates in float32 stays in a core's caches, and eight additions in float32 lose less than
# the last rounding. The matrix product must stay below 4e5 numbers, from which OpenBLAS brings threads of its
# own.
_PIECE = 32_768
_TOGETHER = 8


def weighted_mean(updates: Sequence[StoredUpdate], threads: int | None = None) -> Arrays:
    """Return the weighted mean: float32, and int64 for integer buffers.

    A parameter's mean is over the updates that hold it. Sums of eight are in float32, and their sum in
    float64, in the order of the updates, whatever the number of threads and wherever they lie. Integers are
    averaged in integers and rounded half up.

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
    """Folds updates into a sum: a matrix product weighs and adds eight at a time; float64 adds their sums."""

    def __init__(self) -> None:
        self._copies = np.empty(_TOGETHER * _PIECE, np.float32)
        self._part = np.empty(_PIECE, np.float32)
        self._total = np.empty(_PIECE)

    def __call__(self, block: Block) -> None:
        """Write the weighted mean of a block; a single update as it is."""
        if len(block.stretch.updates) == 1:
            for _, numbers in block.rows(0, len(block.out)):
                np.copyto(block.out, numbers)
            return
        whole = sum(update.weight for update in block.stretch.updates)
        weights = np.array([update.weight for update in block.stretch.updates], np.float32)
        for first in range(0, len(block.out), _PIECE):
            last = min(first + _PIECE, len(block.out))
            part, total = self._part[: last - first], self._total[: last - first]
            for row in range(0, len(weights), _TOGETHER):
                rows = slice(row, row + _TOGETHER)
                np.dot(weights[rows], block.together(rows, first, last, self._copies), out=part)
                if row:
                    np.add(total, part, out=total)
                else:
                    np.copyto(total, part)
            total /= whole
            np.copyto(block.out[first:last], total, casting="same_kind")


def _integer_mean(name: str, updates: Sequence[StoredUpdate]) -> Array:
    senders = [update for update in updates if name in update.places]
    total: NDArray[np.int64] = np.zeros(senders[0].places[name].shape, np.int64)
    weight = 0
    for update in senders:
        total = total + np.asarray(update.array(name), np.int64) * update.weight
        weight += update.weight
    return np.asarray((2 * total + weight) // (2 * weight), dtype=np.int64)
