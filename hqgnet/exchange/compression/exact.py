"""Nothing lost: the difference between two arrays' bit patterns, as whole numbers.

Close numbers have close bit patterns, so that the differences are small, and their upper bytes zeros for
zstd. A difference of floating-point numbers would be rounded, and the sum again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hqgnet.exchange.arrays import Array
from hqgnet.exchange.compression.storage import Part


def difference(array: Array, base: Array | None) -> Part:
    """Return the difference, ``(N,)``, of the size of the array's numbers.

    Args:
        array: float32 or int64.
        base: Of its shape and type; None stands for zeros.
    """
    bits = _bits(array)
    if base is None:
        return bits
    moved: Part = bits - _bits(base)
    # Signs go to the lowest bit: small negative differences too have zeros above.
    top = moved.dtype.type(moved.itemsize * 8 - 1)
    signs = moved >> top
    moved <<= moved.dtype.type(1)
    moved ^= moved.dtype.type(0) - signs
    return moved


def restored(part: Part, base: Array | None, dtype: np.dtype[Any]) -> Array:
    """Return the array, ``(N,)``, of which :func:`difference` was taken."""
    bits = part
    if base is not None:
        one = part.dtype.type(1)
        bits = (part >> one) ^ (part.dtype.type(0) - (part & one))
        bits += _bits(base)
    found: Array = bits.view(dtype)
    return found


def is_same(array: Array, base: Array | None) -> bool:
    """Whether two arrays are equal to the last bit."""
    bits = _bits(array)
    return not bits.any() if base is None else bool(np.array_equal(bits, _bits(base)))


def _bits(array: Array) -> Part:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint32 if flat.itemsize == 4 else np.uint64)
