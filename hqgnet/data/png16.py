"""PNG with 16 bits a colour sample, which Pillow reads and writes with eight (ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hqgnet.errors import DataError, Problem

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type: grey, RGB, grey + alpha, RGB + alpha


def read_png16(path: Path) -> NDArray[np.uint16]:
    """Return the samples ``(H, W, S)`` of a 16-bit PNG; S = 1 to 4, alpha last.

    Raises:
        DataError: If the file is interlaced or cut short.
    """
    data = path.read_bytes()
    position, header, packed = len(_SIGNATURE), b"", []
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed.append(body)
        position += 12 + length
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if bits != 16 or interlaced:
        raise DataError(Problem(str(path), "is an interlaced 16-bit PNG", "Save it without interlacing"))
    pixel_bytes = 2 * _SAMPLES[colour]
    size = height * (1 + width * pixel_bytes)
    raw = zlib.decompressobj().decompress(b"".join(packed), size)
    if len(raw) != size:
        raise DataError(Problem(str(path), "is cut short", "Export or copy it again"))
    lines = np.frombuffer(raw, np.uint8).reshape(height, -1)
    samples = _unfiltered(lines[:, 0], lines[:, 1:].reshape(height, width, pixel_bytes))
    return samples.view(">u2").astype(np.uint16)


def png16_bytes(samples: NDArray[np.uint16]) -> bytes:
    """Return ``(H, W, 3)`` samples as a PNG file."""
    height, width, _ = samples.shape
    lines = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    # Filter 2 ("Up"): differences to the line above compress better than the values.
    filtered = np.concatenate([lines[:1], lines[1:] - lines[:-1]])
    raw = np.concatenate([np.full((height, 1), 2, np.uint8), filtered], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _unfiltered(filters: NDArray[np.uint8], lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the five line filters.

    Each byte needs those to its left, above, and above left. Pixels on one anti-diagonal do not need each
    other, so a diagonal is done at once.
    """
    height, width, depth = lines.shape
    done = np.zeros((height + 1, width + 1, depth), np.int16)
    for diagonal in range(height + width - 1):
        rows = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        columns = diagonal - rows
        left, above, corner = done[rows + 1, columns], done[rows, columns + 1], done[rows, columns]
        to_left, to_above = np.abs(above - corner), np.abs(left - corner)
        to_corner = np.abs(left + above - 2 * corner)
        paeth = np.where(
            (to_left <= to_above) & (to_left <= to_corner),
            left,
            np.where(to_above <= to_corner, above, corner),
        )
        guesses = (np.zeros_like(left), left, above, (left + above) // 2, paeth)
        guess = np.choose(filters[rows][:, None], guesses)
        done[rows + 1, columns + 1] = (lines[rows, columns] + guess) & 0xFF
    return np.ascontiguousarray(done[1:, 1:].astype(np.uint8))
