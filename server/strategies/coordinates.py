"""Rules that take each parameter by itself: of the sites' values, in ascending order, some are averaged.

Sites weigh the same, since weights are what a faulty site says of itself. A parameter's values are those of
the sites that sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Array, Arrays
from server.aggregation import integer_names
from server.spool import StoredUpdate
from server.strategies.base import Strategy
from server.streaming import Block, stream, stretches

Rows = list[NDArray[Any]]
Kept = Callable[[int], slice]
"""Of so many sorted values, which are averaged."""

# Rows of a piece stay in a processor's own cache.
_PIECE_NUMBERS = 2**17
_SHORTEST = 1024
_FEWEST_TO_TRIM = 3


class Median(Strategy):
    """The coordinate-wise median (Yin et al., arXiv 1803.01498): of two in the middle, their mean."""

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return the median of every parameter."""
        return mean_of_sorted(updates, middle)


class TrimmedMean(Strategy):
    """The coordinate-wise trimmed mean (Yin et al., arXiv 1803.01498): extremes are cut off at either end.

    Of three sites or more at least one at either end: a share of few is less than one, and would cut nothing.
    """

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return the trimmed mean of every parameter."""
        return mean_of_sorted(updates, self._trimmed)

    def _trimmed(self, count: int) -> slice:
        share = self._federation.trimmed_share
        cut = max(int(share * count), 1 if share and count >= _FEWEST_TO_TRIM else 0)
        return slice(cut, count - cut)


def middle(count: int) -> slice:
    """Return the place of the one value in the middle, or of the two."""
    return slice((count - 1) // 2, count // 2 + 1)


def mean_of_sorted(updates: Sequence[StoredUpdate], kept: Kept, threads: int | None = None) -> Arrays:
    """Return, for every parameter, the mean of some of the sites' sorted values; integers round half up.

    Args:
        updates: Not empty.
        kept: Which values.
        threads: See :func:`server.streaming.stream`.
    """
    means = stream(stretches(updates), lambda: _Sorted(kept), threads)
    return means | {name: _integers(name, updates, kept) for name in integer_names(updates)}


def sort_rows(rows: Rows, spare: NDArray[Any]) -> NDArray[Any]:
    """Sort the columns of a list of rows in place; the rows change places with ``spare``.

    Comparing whole rows is several times as fast as sorting short columns one by one.

    Args:
        rows: Each ``(N,)``, of one type.
        spare: Of the same form; its content is lost.

    Returns:
        The array that is spare now.
    """
    for low, high in _comparisons(len(rows)):
        first, second = rows[low], rows[high]
        np.minimum(first, second, out=spare)
        np.maximum(first, second, out=second)
        rows[low], spare = spare, first
    return spare


class _Sorted:
    """Sorts pieces of a block in rows of its own, and averages what is kept."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._numbers = np.empty(0, np.float32)

    def __call__(self, block: Block) -> None:
        """Write the mean of the values that are kept."""
        count = len(block.stretch.updates)
        length = max(_SHORTEST, _PIECE_NUMBERS // (count + 1))
        if self._numbers.size < (count + 1) * length:
            self._numbers = np.empty((count + 1) * length, np.float32)
        for first in range(0, len(block.out), length):
            last = min(first + length, len(block.out))
            size = last - first
            own = self._numbers[: (count + 1) * size].reshape(count + 1, size)
            for row in range(count):
                block.read(row, first, own[row])
            rows = list(own[:count])
            sort_rows(rows, own[count])
            block.out[first:last] = _mean(rows[self._kept(count)])


def _mean(rows: Rows) -> NDArray[np.float64]:
    total = rows[0].astype(np.float64)
    for row in rows[1:]:
        total += row
    return total / len(rows)


def _integers(name: str, updates: Sequence[StoredUpdate], kept: Kept) -> Array:
    senders = [update for update in updates if name in update.places]
    rows: Rows = [update.array(name).reshape(-1) for update in senders]
    sort_rows(rows, np.empty_like(rows[0]))
    mean = np.floor(_mean(rows[kept(len(rows))]) + 0.5)
    return mean.astype(np.int64).reshape(senders[0].places[name].shape)


@lru_cache(maxsize=16)
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Return Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, Algorithm M)."""
    pairs = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    step = top
    while count > 1 and step:
        other, remainder, distance = top, 0, step
        while True:
            pairs += [(i, i + distance) for i in range(count - distance) if i & step == remainder]
            if other == step:
                break
            distance, other, remainder = other - step, other // 2, step
        step //= 2
    return tuple(pairs)
