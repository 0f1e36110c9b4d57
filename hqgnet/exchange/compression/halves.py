"""Two bytes a number: float16 under a power of two, and bfloat16."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.compression.codec import BLOCK, Codec, Floats
from hqgnet.exchange.compression.schema import LARGEST_EXPONENT, LEAST_EXPONENT, BFloat16, Float16
from hqgnet.exchange.compression.storage import Layout, Part

# The largest float16 number is 65504.
_ROOM = 15


class Float16Codec(Codec[Float16]):
    """float16, scaled: differences of weights are so small that half of float16's digits would be lost."""

    def encode(self, numbers: Floats, shape: tuple[int, ...]) -> tuple[dict[str, Any], list[Part]]:
        """Return the exponent, and the numbers as float16."""
        exponent = exponent_of(numbers)
        return {"exponent": exponent}, [scaled_halves(numbers, exponent)]

    def layout(self, entry: Float16) -> Layout:
        """Return one part."""
        return (("<f2", entry.size),)

    def decode(self, entry: Float16, parts: list[Part], out: Floats) -> None:
        """Fill ``out``."""
        np.multiply(parts[0], np.float32(2.0 ** (entry.exponent - _ROOM)), out=out, dtype=np.float32)

    def most_bytes(self, shape: tuple[int, ...]) -> int:
        """Return two bytes a number."""
        return 2 * math.prod(shape)


class BFloat16Codec(Codec[BFloat16]):
    """bfloat16: float32's range with eight bits of precision, rounded to the nearest, ties to even."""

    def encode(self, numbers: Floats, shape: tuple[int, ...]) -> tuple[dict[str, Any], list[Part]]:
        """Return the upper halves of the numbers."""
        halves = np.empty(numbers.size, np.uint16)
        for start in range(0, numbers.size, BLOCK):
            bits = numbers[start : start + BLOCK].view(np.uint32)
            rounded = bits >> np.uint32(16)
            rounded &= np.uint32(1)
            rounded += bits
            rounded += np.uint32(0x7FFF)
            rounded >>= np.uint32(16)
            halves[start : start + BLOCK] = rounded
        return {}, [halves]

    def layout(self, entry: BFloat16) -> Layout:
        """Return one part."""
        return (("<u2", entry.size),)

    def decode(self, entry: BFloat16, parts: list[Part], out: Floats) -> None:
        """Fill ``out``."""
        bits = out.view(np.uint32)
        np.copyto(bits, parts[0])
        bits <<= np.uint32(16)

    def most_bytes(self, shape: tuple[int, ...]) -> int:
        """Return two bytes a number."""
        return 2 * math.prod(shape)


def exponent_of(numbers: Floats) -> int:
    """Return the power of two below which all numbers lie, as far as the schema can say it."""
    largest = max(float(numbers.max()), -float(numbers.min())) if numbers.size else 0.0
    return min(max(math.frexp(largest)[1], LEAST_EXPONENT), LARGEST_EXPONENT)


def scaled_halves(numbers: Floats, exponent: int) -> NDArray[np.float16]:
    """Return the numbers as float16, scaled so that the largest fills its range."""
    factor = np.float32(2.0 ** (_ROOM - exponent))
    halves = np.empty(numbers.size, np.float16)
    for start in range(0, numbers.size, BLOCK):
        halves[start : start + BLOCK] = numbers[start : start + BLOCK] * factor
    return halves


def unscaled(halves: Part, exponent: int) -> Floats:
    """Return what :func:`scaled_halves` was given, rounded."""
    return halves.astype(np.float32) * np.float32(2.0 ** (exponent - _ROOM))
