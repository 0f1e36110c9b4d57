"""The bytes of one array in a compressed message: as they are, or sorted by significance in a zstd frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.update import MalformedMessageError

Part = NDArray[Any]
Layout = tuple[tuple[str, int], ...]
"""Type (little-endian, in numpy's short form) and length of each part."""

# Measured with benchmarks/wire.py: higher levels take longer and save next to nothing on such numbers.
_LEVEL = 1


def store(parts: Sequence[Part], zstd: bool) -> tuple[bytes, bool]:
    """Return parts as bytes, and whether these are a zstd frame: only where that is shorter.

    Args:
        parts: One-dimensional, little-endian.
        zstd: Whether to try. Numbers are then sorted by byte first, all highest bytes together: what numbers
            have in common stands in those.
    """
    plain = b"".join(part.tobytes() for part in parts)
    if not zstd:
        return plain, False
    import zstandard

    sorted_by_byte = b"".join(_planes(part) for part in parts)
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(sorted_by_byte)
    return (frame, True) if len(frame) < len(plain) else (plain, False)


def restore(stored: memoryview, layout: Layout, zstd: bool) -> list[Part]:
    """Return the parts; views where nothing was compressed.

    Args:
        stored: From a peer that is not trusted.
        layout: Of the parts, from the shape that is expected: it alone says how much memory is taken.
        zstd: Whether they are a zstd frame.

    Raises:
        MalformedMessageError: If they are not of that layout.
    """
    whole = sum(np.dtype(kind).itemsize * count for kind, count in layout)
    data = _decompressed(stored, whole) if zstd else stored
    if len(data) != whole:
        raise MalformedMessageError("a compressed array is not as long as it says")
    parts, start = [], 0
    for kind, count in layout:
        dtype = np.dtype(kind)
        end = start + dtype.itemsize * count
        part = np.frombuffer(data[start:end], np.uint8)
        if zstd and dtype.itemsize > 1:
            part = np.ascontiguousarray(part.reshape(dtype.itemsize, count).T).reshape(-1)
        parts.append(part.view(dtype))
        start = end
    return parts


def _planes(part: Part) -> bytes:
    """Return the lowest bytes of all numbers, then the next ones, and so on."""
    return part.view(np.uint8).reshape(-1, part.itemsize).T.tobytes()


def _decompressed(stored: memoryview, whole: int) -> memoryview:
    import zstandard

    try:
        # The frame says how long its content is, and the library takes as much memory as it says.
        if zstandard.frame_content_size(stored) != whole:
            raise MalformedMessageError("a compressed array is not as long as it says")
        data = zstandard.ZstdDecompressor().decompress(stored, whole, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedMessageError("a compressed array cannot be read") from error
    return memoryview(data)
