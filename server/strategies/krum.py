"""Krum and Multi-Krum: the updates that lie closest to most others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import filterfalse

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Arrays, is_statistic
from server.aggregation import weighted_mean
from server.spool import StoredUpdate
from server.strategies.base import Strategy
from server.strategies.coordinates import mean_of_sorted, middle
from server.streaming import stretches

_PIECE = 8192


class Krum(Strategy):
    """The update with the least sum of squared distances to its closest n - f - 2 (arXiv 1703.02757).

    Parameters that the same sites sent are judged by themselves: one site's downstream network, say, is
    held against those of the other sites with masks. Where fewer than 2 f + 3 sent a parameter, Krum
    promises nothing, and the coordinate-wise median is taken. Running statistics come from whoever is chosen,
    but choose nobody: the variance of a single layer would outweigh all weights.
    """

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return the parameters of the update, or the weighted mean of the updates, that are chosen."""
        faulty = self._federation.faulty_sites
        combined: Arrays = {}
        for senders in by_senders(updates):
            if len(senders) < 2 * faulty + 3:
                combined |= mean_of_sorted(senders, middle)
                continue
            weights = [_only(sender, set(filterfalse(is_statistic, sender.places))) for sender in senders]
            chosen = most_central(squared_distances(weights), faulty, self._number(len(senders)))
            combined |= weighted_mean([senders[index] for index in chosen])
        return combined

    def _number(self, count: int) -> int:
        """Return how many of ``count`` updates are chosen."""
        return 1


class MultiKrum(Krum):
    """The weighted mean of the updates that Krum likes best (arXiv 1703.02757, Section 4)."""

    def _number(self, count: int) -> int:
        return min(count, self._federation.selected_sites or count - self._federation.faulty_sites)


def by_senders(updates: Sequence[StoredUpdate]) -> list[list[StoredUpdate]]:
    """Return the updates once for each set of senders, cut down to the parameters that just these sent."""
    senders: dict[str, list[int]] = {}
    for index, update in enumerate(updates):
        for name in update.places:
            senders.setdefault(name, []).append(index)
    names: dict[tuple[int, ...], set[str]] = {}
    for name, indices in senders.items():
        names.setdefault(tuple(indices), set()).add(name)
    return [[_only(updates[index], own) for index in indices] for indices, own in sorted(names.items())]


def squared_distances(updates: Sequence[StoredUpdate]) -> NDArray[np.float64]:
    """Return the squared L2 distance of every update's float parameters from every other's, ``(S, S)``.

    Args:
        updates: S of them, which hold the same parameters.
    """
    count = len(updates)
    products = np.zeros((count, count))
    numbers, narrow = np.empty(count * _PIECE), np.empty(_PIECE, np.float32)
    for stretch in stretches(updates):
        for start in range(0, stretch.size, _PIECE):
            size = min(_PIECE, stretch.size - start)
            rows = numbers[: count * size].reshape(count, size)
            for row in range(count):
                stretch.read(row, start, narrow[:size])
                rows[row] = narrow[:size]
            # From the first update, not from zero: they lie close together, and digits are few.
            rows[1:] -= rows[0]
            rows[0] = 0.0
            products += rows @ rows.T
    squares = np.diagonal(products)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)


def most_central(distances: NDArray[np.float64], faulty: int, number: int) -> list[int]:
    """Return the ``number`` indices of least score, ascending; the score sums the closest n - f - 2.

    Args:
        distances: Squared, ``(n, n)``.
        faulty: f.
        number: How many to choose.
    """
    closest = len(distances) - faulty - 2
    # The first of a sorted row is the distance from itself.
    scores = np.sort(distances, axis=1)[:, 1 : closest + 1].sum(axis=1)
    return sorted(int(index) for index in np.argsort(scores, kind="stable")[:number])


def _only(update: StoredUpdate, names: set[str]) -> StoredUpdate:
    return replace(update, places={name: update.places[name] for name in names})
