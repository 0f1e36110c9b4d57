"""Numbers from many updates on disk, a block of each at a time, by as many threads as there are processors.

A block goes through the processor's caches once; memory holds the result and each thread's block, however
many sites there are. What a block gives does not depend on which thread works on it, or when.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Arrays
from server.spool import StoredUpdate

_FLOAT_BYTES = 4
# Giving pages back costs less a number in long blocks; a thread's blocks of all updates take 64 MiB at most,
# up to 256 updates.
_SHORTEST, _LONGEST = 65_536, 262_144
_MOST_NUMBERS = 2**24


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

    def copy(self, first: int, rows: NDArray[np.float64]) -> None:
        """Fill ``rows``, ``(S, N)``, with N numbers of every update from number ``first`` on."""
        for row, update, start in zip(rows, self.updates, self.starts, strict=True):
            offset, count = start + first * _FLOAT_BYTES, len(row)
            np.copyto(row, update.view(offset, count))
            update.release(offset, count)


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

    def rows(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield numbers ``first`` to ``last`` of the block, in one update after another: row and view."""
        stretch = self.stretch
        for row, (update, start) in enumerate(zip(stretch.updates, stretch.starts, strict=True)):
            yield row, update.view(start + (self.start + first) * _FLOAT_BYTES, last - first)

    def release(self) -> None:
        """Give back the memory behind the block."""
        stretch = self.stretch
        for update, start in zip(stretch.updates, stretch.starts, strict=True):
            update.release(start + self.start * _FLOAT_BYTES, len(self.out))


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
        Block(part, start, result[start : start + _length(part)])
        for part, result in zip(parts, results, strict=True)
        for start in range(0, part.size, _length(part))
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
                given.release()
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


def _length(part: Stretch) -> int:
    """Return the numbers of each update in a block: few pages where there are many updates."""
    return max(_SHORTEST, min(_LONGEST, _MOST_NUMBERS // len(part.updates) // _SHORTEST * _SHORTEST))


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
    return all(before.offset + before.size * _FLOAT_BYTES == after.offset for before, after in places)
