"""Updates of one attempt at a round, on disk until all are in; read back in blocks, never as a whole.

One file for all of them: what lies where is known to this process alone, and the file does not outlive the
attempt. It is mapped into memory for reading, and a block's pages are given back when the block is done: the
server's memory holds no more than the blocks at hand.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgnet.errors import OutputError, Problem
from hqgnet.exchange.arrays import Array

_FLOAT_BYTES = 4


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
    """

    weight: int
    places: Mapping[str, Place]
    _mapping: mmap.mmap

    def __post_init__(self) -> None:
        """Refuse a weight that is none.

        Raises:
            ValueError: If it is not a positive whole number.
        """
        if type(self.weight) is not int or self.weight < 1:
            raise ValueError(f"weight {self.weight!r} is not a positive whole number")

    def view(self, offset: int, count: int) -> NDArray[np.float32]:
        """Return a read-only view of float32 numbers.

        Args:
            offset: Of the first one, in bytes; see :class:`Place`.
            count: How many.
        """
        return np.frombuffer(self._mapping, np.float32, count, offset)

    def release(self, offset: int, count: int) -> None:
        """Give back the memory behind float32 numbers that have been read; they can be read again.

        Args:
            offset: Of the first one, in bytes.
            count: How many.
        """
        # Pages that neighbours share are given back too: whoever needs them finds them in the system's cache.
        first = offset // mmap.PAGESIZE * mmap.PAGESIZE
        self._mapping.madvise(mmap.MADV_DONTNEED, first, offset + count * _FLOAT_BYTES - first)

    def array(self, name: str) -> Array:
        """Return a copy of a whole array."""
        place = self.places[name]
        array: Array = np.frombuffer(self._mapping, place.dtype, place.size, place.offset).copy()
        return array.reshape(place.shape)


class Spool:
    """A folder that is there for one attempt, as a context manager; what a crash left in it is removed.

    Args:
        folder: Below one that exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, dict[str, Place]] = {}
        self._file = -1
        self._end = 0

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
            arrays: Checked beforehand: float32 or int64.

        Raises:
            OutputError: If it cannot be written.
        """
        places: dict[str, Place] = {}
        end = self._end
        # Integers first: each kind then lies without gaps, and at multiples of its own size.
        for name in sorted(arrays, key=lambda name: (arrays[name].dtype != np.int64, name)):
            array = arrays[name]
            places[name] = Place(end, array.shape, array.dtype)
            end = self._write(end, array)
        # So that the next update begins at a multiple of eight as well.
        self._end = self._write(end, np.zeros(-end % 8 // _FLOAT_BYTES, np.float32))
        self._places[site] = places

    def updates(self, weights: Mapping[str, int]) -> Sequence[StoredUpdate]:
        """Return updates to be combined, in the order of their sites' names, whoever answered first.

        Args:
            weights: Positive whole numbers by site.

        Raises:
            OutputError: If they cannot be read back.
        """
        if not self._end:
            return []
        try:
            mapping = mmap.mmap(self._file, self._end, prot=mmap.PROT_READ)
        except OSError as error:
            raise OutputError(Problem(str(self._folder), "cannot be read back", "Check that disk")) from error
        return [StoredUpdate(weights[site], self._places[site], mapping) for site in sorted(weights)]

    def _write(self, offset: int, array: Array) -> int:
        left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        try:
            while left:
                count = os.pwrite(self._file, left, offset)
                offset, left = offset + count, left[count:]
        except OSError as error:
            raise self._unwritable() from error
        return offset

    def _unwritable(self) -> OutputError:
        return OutputError(Problem(str(self._folder), "cannot be written", "Free space there"))
