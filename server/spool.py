"""Updates of one attempt at a round, on disk until all are in; read back in blocks, never as a whole.

One file for all of them: what lies where is known to this process alone, and the file does not outlive the
attempt. Whoever sorts or compares reads into memory of its own; the mean, which looks at each number once,
takes the file mapped into memory, and gives a block's pages back when the block is done. Either way the
server's memory holds no more than the blocks at hand.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgnet.errors import OutputError, Problem
from hqgnet.exchange.arrays import Array

FLOAT_BYTES = 4
# An update begins at a multiple, and is written at once: the system's cache then keeps it in pages of this
# size where it can, and hundreds of times fewer must be mapped and given back.
HUGE_PAGE = 2**21
_MOST_BUFFERS = 1024


@dataclass(frozen=True)
class Place:
    """Where an array lies.

    Attributes:
        offset: Of its first byte, in the spool's file.
        shape: Its shape.
        dtype: ``float32`` or ``int64``.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class StoredUpdate:
    """One site's update on disk, and what it weighs.

    Attributes:
        weight: A positive whole number.
        places: Where its arrays lie, by name. Float arrays lie one after the other in the order of their
            names.
        first: Whether it is the first of its site in the phase that counts.
    """

    weight: int
    places: Mapping[str, Place]
    _file: int
    _mapping: mmap.mmap
    first: bool

    def __post_init__(self) -> None:
        """Refuse a weight that is none.

        Raises:
            ValueError: If it is not a positive whole number.
        """
        if type(self.weight) is not int or self.weight < 1:
            raise ValueError(f"weight {self.weight!r} is not a positive whole number")

    def read(self, offset: int, out: NDArray[Any]) -> None:
        """Fill ``out`` with numbers of its type.

        Args:
            offset: Of the first one, in bytes; see :class:`Place`.
            out: Lies in memory without gaps.

        Raises:
            OutputError: If the disk does not give them back.
        """
        left = out.reshape(-1).view(np.uint8).data
        while left:
            try:
                count = os.preadv(self._file, [left], offset)
            except OSError:
                count = 0
            if not count:
                raise OutputError(Problem("the spool of updates", "cannot be read back", "Check that disk"))
            offset, left = offset + count, left[count:]

    @property
    def mapped(self) -> NDArray[np.float32]:
        """The whole spool as float32 numbers, read-only: number i lies at byte 4 i."""
        return np.frombuffer(self._mapping, np.float32, len(self._mapping) // FLOAT_BYTES)

    def release(self, offset: int, count: int) -> None:
        """Give back the memory behind mapped numbers that have been read; they can be read again.

        Args:
            offset: Of the first one, in bytes.
            count: How many.
        """
        # Pages that neighbours share are given back too: whoever needs them finds them in the system's cache.
        first = offset // mmap.PAGESIZE * mmap.PAGESIZE
        self._mapping.madvise(mmap.MADV_DONTNEED, first, offset + count * FLOAT_BYTES - first)

    def array(self, name: str) -> Array:
        """Return a copy of a whole array."""
        place = self.places[name]
        array: Array = np.empty(place.shape, place.dtype)
        self.read(place.offset, array)
        return array


class Spool:
    """A folder that is there for one attempt, as a context manager; what a crash left in it is removed.

    Each site has its place in the file, in the order of names and at equal distances, whoever answers first:
    sums go through the updates in that order. A place that stays empty takes nothing from the disk.

    Args:
        folder: Below one that exists.
        sites: Whose updates may come.
        room: Bytes that an update takes at most.
    """

    def __init__(self, folder: Path, sites: Iterable[str], room: int) -> None:
        self._folder = folder
        self._room = max(1, -(-room // HUGE_PAGE)) * HUGE_PAGE
        self._begins = {site: index * self._room for index, site in enumerate(sorted(sites))}
        self._places: dict[str, dict[str, Place]] = {}
        self._file = -1

    def __enter__(self) -> Spool:
        """Make the folder, with an empty file."""
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(self._folder / "updates", flags, 0o600)
        except OSError as error:
            raise self._unwritable() from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder."""
        os.close(self._file)
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, site: str, arrays: Mapping[str, Array]) -> None:
        """Keep an update; nothing of it stays in memory, and nothing is copied on the way.

        Args:
            site: Its name; what it sent before in this attempt is forgotten.
            arrays: Checked beforehand: float32 or int64, and no more than there is room for.

        Raises:
            OutputError: If it cannot be written.
        """
        if sum(array.nbytes for array in arrays.values()) > self._room:
            raise ValueError(f"an update of more than {self._room} bytes")
        places: dict[str, Place] = {}
        begin = end = self._begins[site]
        # Integers first: each kind then lies without gaps, and at multiples of its own size.
        names = sorted(arrays, key=lambda name: (arrays[name].dtype != np.int64, name))
        for name in names:
            places[name] = Place(end, arrays[name].shape, arrays[name].dtype)
            end += arrays[name].nbytes
        self._write(begin, [arrays[name] for name in names])
        self._places[site] = places

    def updates(self, weights: Mapping[str, int], known: Collection[str] = ()) -> Sequence[StoredUpdate]:
        """Return updates to be combined, in the order of their sites' names, whoever answered first.

        Args:
            weights: Positive whole numbers by site.
            known: Sites of which an update has counted before in the phase.

        Raises:
            OutputError: If they cannot be read back.
        """
        if not self._places:
            return []
        try:
            os.ftruncate(self._file, len(self._begins) * self._room)
            mapping = mmap.mmap(self._file, 0, prot=mmap.PROT_READ)
        except OSError as error:
            raise OutputError(Problem(str(self._folder), "cannot be read back", "Check that disk")) from error
        return [
            StoredUpdate(weights[site], self._places[site], self._file, mapping, site not in known)
            for site in sorted(weights)
        ]

    def _write(self, offset: int, arrays: Sequence[Array]) -> None:
        left = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays if array.size]
        left.reverse()
        try:
            while left:
                count = os.pwritev(self._file, left[: -_MOST_BUFFERS - 1 : -1], offset)
                offset += count
                while left and count >= len(left[-1]):
                    count -= len(left.pop())
                if count:
                    left[-1] = left[-1][count:]
        except OSError as error:
            raise self._unwritable() from error

    def _unwritable(self) -> OutputError:
        return OutputError(Problem(str(self._folder), "cannot be written", "Free space there"))
