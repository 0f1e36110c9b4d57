"""Numbers from many updates on disk, a block of each at a time, by as many threads as there are processors.

Memory holds the result and what each thread has at hand, however many sites there are. What a block gives
does not depend on which thread works on it, or when.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Arrays
from server.spool import FLOAT_BYTES, HUGE_PAGE, StoredUpdate

# Blocks end where huge pages end, so that none is mapped twice.
_BLOCK = HUGE_PAGE // FLOAT_BYTES


@dataclass(frozen=True)
class Stretch:
    """Float parameters of one group that the same updates hold, one after the other.

    Attributes:
        names: Of the parameters, sorted.
        updates: Those that hold them.
        starts: Byte at which the first parameter lies, for each of the updates.
        size: Numbers in all parameters together.
    """

    names: tuple[str, ...]
    updates: tuple[StoredUpdate, ...]
    starts: tuple[int, ...]
    size: int

    def borders(self) -> list[int]:
        """Return the numbers at which blocks begin and end."""
        first = -self.starts[0] // FLOAT_BYTES % _BLOCK
        return sorted({0, *range(first, self.size, _BLOCK), self.size})

    def runs(self, most: int) -> Iterator[range]:
        """Yield rows in order, together at most so many whose updates lie at equal distances."""
        begin = 0
        for row in range(1, len(self.starts) + 1):
            inside = row < len(self.starts) and row - begin < most
            if inside and row - begin > 1:
                inside = self._gap(row) == self._gap(row - 1)
            if not inside:
                yield range(begin, row)
                begin = row

    def _gap(self, row: int) -> int:
        return self.starts[row] - self.starts[row - 1]

    def read(self, row: int, first: int, out: NDArray[np.float32]) -> None:
        """Fill ``out``, ``(N,)``, with an update's numbers from number ``first`` on."""
        self.updates[row].read(self.starts[row] + first * FLOAT_BYTES, out)


@dataclass(frozen=True)
class Block:
    """A part of a stretch.

    Attributes:
        stretch: Of which.
        start: Its first number.
        out: Where the result belongs, ``(N,)``.
    """

    stretch: Stretch
    start: int
    out: NDArray[np.float32]

    def read(self, row: int, first: int, out: NDArray[np.float32]) -> None:
        """Fill ``out``, ``(N,)``, with an update's numbers from the block's number ``first`` on."""
        self.stretch.read(row, self.start + first, out)

    def lies(self, rows: range) -> tuple[int, int]:
        """Return where the block of some updates lies: number of the first, and how far they are apart.

        Args:
            rows: Of updates that lie at equal distances; see :meth:`Stretch.runs`.
        """
        places = [self.stretch.starts[row] // FLOAT_BYTES for row in rows[:2]]
        return places[0] + self.start, places[-1] - places[0]

    def release(self, rows: range) -> None:
        """Give back the memory behind the block of some updates."""
        for row in rows:
            offset = self.stretch.starts[row] + self.start * FLOAT_BYTES
            self.stretch.updates[row].release(offset, len(self.out))


Worker = Callable[[Block], None]


def stretches(updates: Sequence[StoredUpdate]) -> list[Stretch]:
    """Return all float parameters of the updates, those together that the same updates hold."""
    holders: dict[str, list[int]] = {}
    for index, update in enumerate(updates):
        for name, place in update.places.items():
            if place.dtype == np.float32:
                holders.setdefault(name, []).append(index)
    found: list[tuple[list[str], list[int]]] = []
    for name in sorted(holders):
        last = found[-1] if found else None
        if last and last[1] == holders[name] and _adjoin(last[0][-1], name, updates, holders[name]):
            last[0].append(name)
        else:
            found.append(([name], holders[name]))
    return [_stretch(names, [updates[index] for index in indices]) for names, indices in found]


def stream(parts: Sequence[Stretch], worker: Callable[[], Worker], threads: int | None = None) -> Arrays:
    """Return what workers make of every block.

    Args:
        parts: Over what.
        worker: Makes a worker, which may keep buffers of its own: each thread has one.
        threads: How many; as many as there are processors for this process if not given.
    """
    results = [np.empty(part.size, np.float32) for part in parts]
    blocks = (
        Block(part, start, result[start:stop])
        for part, result in zip(parts, results, strict=True)
        for start, stop in pairwise(part.borders())
    )
    lock, failed = threading.Lock(), threading.Event()

    def work() -> None:
        act = worker()
        while not failed.is_set():
            with lock:
                given = next(blocks, None)
            if given is None:
                return
            try:
                act(given)
            except BaseException:
                failed.set()
                raise

    count = threads or len(os.sched_getaffinity(0))
    if count == 1:
        work()
    else:
        with ThreadPoolExecutor(count) as pool:
            for future in [pool.submit(work) for _ in range(count)]:
                future.result()
    return dict(_named(parts, results))


def _named(
    parts: Sequence[Stretch], results: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for part, result in zip(parts, results, strict=True):
        start = 0
        for name in part.names:
            place = part.updates[0].places[name]
            yield name, result[start : start + place.size].reshape(place.shape)
            start += place.size


def _stretch(names: list[str], updates: list[StoredUpdate]) -> Stretch:
    size = sum(updates[0].places[name].size for name in names)
    starts = tuple(update.places[names[0]].offset for update in updates)
    return Stretch(tuple(names), tuple(updates), starts, size)


def _adjoin(first: str, second: str, updates: Sequence[StoredUpdate], holders: Sequence[int]) -> bool:
    # Groups apart: one that later rounds leave alone must not keep the memory of another.
    if first.partition(".")[0] != second.partition(".")[0]:
        return False
    places = ((updates[index].places[first], updates[index].places[second]) for index in holders)
    return all(before.offset + before.size * FLOAT_BYTES == after.offset for before, after in places)
