"""The weighted mean of updates on disk, a block of each at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgnet.exchange.arrays import Array, Arrays
from server.spool import StoredUpdate
from server.streaming import Block, stream, stretches

# Measured: so many numbers of so many updates are weighed and added by one matrix product, which stays in a
# core's own cache and is long enough that threads seldom wait for the interpreter.
_PIECE = 16_384
_TOGETHER = 32


def weighted_mean(updates: Sequence[StoredUpdate], threads: int | None = None) -> Arrays:
    """Return the weighted mean: float32, and int64 for integer buffers.

    A parameter's mean is over the updates that hold it. Sums over some updates are in float32, which a matrix
    product makes; the sum of those is in float64. All are in the order of the updates, whatever the number of
    threads. Integers are averaged in integers and rounded half up.

    Args:
        updates: In an order that does not depend on who answered first.
        threads: See :func:`server.streaming.stream`.
    """
    if not updates:
        return {}
    numbers = _tensor(updates[0].mapped)
    with _single_threaded_products():
        means = stream(stretches(updates), lambda: _Mean(numbers), threads)
    return means | {name: _integer_mean(name, updates) for name in integer_names(updates)}


def integer_names(updates: Sequence[StoredUpdate]) -> list[str]:
    """Return the names of the updates' integer buffers."""
    names = {name for update in updates for name, place in update.places.items() if place.dtype == np.int64}
    return sorted(names)


class _Mean:
    """Folds updates into a sum, some at a time.

    Args:
        numbers: All that lies in the spool, in memory that the disk is mapped to.
    """

    def __init__(self, numbers: Tensor) -> None:
        self._numbers = numbers
        self._part = torch.empty(_PIECE)
        self._total = np.empty(0)

    def __call__(self, block: Block) -> None:
        """Write the weighted mean of a block; of a single update, the update."""
        weights = [update.weight for update in block.stretch.updates]
        if len(weights) == 1:
            block.read(0, 0, block.out)
            return
        if len(self._total) < len(block.out):
            self._total = np.empty(len(block.out))
        total = self._total[: len(block.out)]
        total.fill(0.0)
        for rows in block.stretch.runs(_TOGETHER):
            self._add(block, rows, torch.tensor(weights[rows.start : rows.stop], dtype=torch.float32), total)
            block.release(rows)
        np.divide(total, sum(weights), out=block.out, casting="same_kind")

    def _add(self, block: Block, rows: range, weights: Tensor, total: NDArray[np.float64]) -> None:
        start, apart = block.lies(rows)
        for first in range(0, len(total), _PIECE):
            size = min(_PIECE, len(total) - first)
            part = self._part[:size]
            together = self._numbers.as_strided((size, len(rows)), (1, apart), start + first)
            torch.mv(together, weights, out=part)
            total[first : first + size] += part.numpy()


def _tensor(numbers: NDArray[np.float32]) -> Tensor:
    with warnings.catch_warnings():
        # Torch has no tensors that cannot be written to, and says so; nobody writes to this one.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(numbers)


@contextmanager
def _single_threaded_products() -> Iterator[None]:
    """Keep torch from sharing one product among threads: the blocks are shared among them already."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _integer_mean(name: str, updates: Sequence[StoredUpdate]) -> Array:
    senders = [update for update in updates if name in update.places]
    total: NDArray[np.int64] = np.zeros(senders[0].places[name].shape, np.int64)
    weight = 0
    for update in senders:
        total = total + np.asarray(update.array(name), np.int64) * update.weight
        weight += update.weight
    return np.asarray((2 * total + weight) // (2 * weight), dtype=np.int64)
