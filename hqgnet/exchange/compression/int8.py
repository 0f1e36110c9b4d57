"""One byte a number: whole numbers from -127 to 127, and a scale for each output channel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hqgnet.exchange.compression.codec import BLOCK, Codec, Floats
from hqgnet.exchange.compression.schema import Int8
from hqgnet.exchange.compression.storage import Layout, Part
from hqgnet.exchange.update import MalformedMessageError

_LARGEST = np.float32(127)
# A scale a row of nine numbers (a depthwise 3x3 convolution) would be nearly half of what travels.
_SHORTEST_ROW = 32
# Below it a scale has no reciprocal in float32. Such rows are sent as zeros.
_LEAST = np.float32(1e-30)


class Int8Codec(Codec[Int8]):
    """Symmetric: zero stays zero, and the largest number of a channel becomes 127."""

    def encode(self, numbers: Floats, shape: tuple[int, ...]) -> tuple[dict[str, Any], list[Part]]:
        """Return the number of scales; the scales and the whole numbers."""
        rows = _rows(shape)
        matrix = numbers.reshape(rows, -1)
        scales = np.zeros(rows, np.float32)
        whole = np.empty(matrix.shape, np.int8)
        for part in _blocks(matrix):
            block = matrix[part]
            largest = np.maximum(block.max(axis=1), -block.min(axis=1))
            used = largest > _LEAST
            np.divide(largest, _LARGEST, out=scales[part], where=used)
            factor = np.divide(np.float32(1), scales[part], out=np.zeros_like(largest), where=used)
            scaled = block * factor[:, None]
            whole[part] = np.rint(scaled, out=scaled)
        return {"scales": rows}, [scales, whole.reshape(-1)]

    def layout(self, entry: Int8) -> Layout:
        """Return two parts.

        Raises:
            MalformedMessageError: If there is another number of scales than such an array has.
        """
        if not entry.size or entry.scales != _rows(tuple(entry.shape)):
            raise MalformedMessageError("a compressed array has another number of scales")
        return (("<f4", entry.scales), ("<i1", entry.size))

    def decode(self, entry: Int8, parts: list[Part], out: Floats) -> None:
        """Fill ``out``.

        Raises:
            MalformedMessageError: If a scale is negative or not finite.
        """
        scales, whole = parts
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise MalformedMessageError("a scale is not finite")
        numbers, matrix = whole.reshape(len(scales), -1), out.reshape(len(scales), -1)
        for part in _blocks(matrix):
            np.multiply(numbers[part], scales[part, None], out=matrix[part], dtype=np.float32)

    def most_bytes(self, shape: tuple[int, ...]) -> int:
        """Return a byte a number, and four a scale."""
        return math.prod(shape) + 4 * _rows(shape)


def _rows(shape: tuple[int, ...]) -> int:
    """Return the number of output channels, or 1 where they are too short for a scale of their own."""
    return shape[0] if shape and shape[0] and math.prod(shape[1:]) >= _SHORTEST_ROW else 1


def _blocks(matrix: Floats) -> Iterator[slice]:
    rows, columns = matrix.shape
    step = max(1, BLOCK // columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)
