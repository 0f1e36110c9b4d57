"""The largest numbers alone: each as float16, with the gap to the one before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.compression.codec import Codec, Floats
from hqgnet.exchange.compression.halves import exponent_of, scaled_halves, unscaled
from hqgnet.exchange.compression.schema import TopK
from hqgnet.exchange.compression.storage import Layout, Part
from hqgnet.exchange.update import MalformedMessageError

_GAPS: dict[int, str] = {2: "<u2", 4: "<u4"}


class TopKCodec(Codec[TopK]):
    """The largest by size, wherever they stand; where equal ones compete, the first.

    Args:
        share: Of an array's numbers.
    """

    def __init__(self, share: float) -> None:
        self._share = share

    def encode(self, numbers: Floats, shape: tuple[int, ...]) -> tuple[dict[str, Any], list[Part]]:
        """Return how many were kept, and how; gaps and values."""
        places = _largest(np.abs(numbers), self._kept(numbers.size))
        values = numbers[places]
        # Numbers left out between one and the next: whatever they are, places ascend and none comes twice.
        gaps = np.diff(places, prepend=-1) - 1
        width = 2 if gaps.max() < 2**16 else 4
        exponent = exponent_of(values)
        facts = {"kept": len(places), "gap_bytes": width, "exponent": exponent}
        return facts, [gaps.astype(_GAPS[width]), scaled_halves(values, exponent)]

    def layout(self, entry: TopK) -> Layout:
        """Return two parts.

        Raises:
            MalformedMessageError: If more numbers were kept than there are.
        """
        if entry.kept > entry.size:
            raise MalformedMessageError("more numbers were kept than there are")
        return ((_GAPS[entry.gap_bytes], entry.kept), ("<f2", entry.kept))

    def decode(self, entry: TopK, parts: list[Part], out: Floats) -> None:
        """Fill ``out``: zero where nothing was sent.

        Raises:
            MalformedMessageError: If a number stands beyond the end.
        """
        gaps, values = parts
        places = np.cumsum(gaps, dtype=np.int64) + np.arange(entry.kept)
        if places[-1] >= out.size:
            raise MalformedMessageError("a number stands beyond the end of its array")
        out.fill(0)
        out[places] = unscaled(values, entry.exponent)

    def most_bytes(self, shape: tuple[int, ...]) -> int:
        """Return six bytes a number that is kept."""
        return 6 * self._kept(math.prod(shape))

    def _kept(self, size: int) -> int:
        return max(1, math.ceil(self._share * size))


def _largest(sizes: Floats, count: int) -> NDArray[np.intp]:
    """Return the places of the ``count`` largest, ascending; not more than are above zero."""
    least = np.partition(sizes, len(sizes) - count)[len(sizes) - count]
    above = np.flatnonzero(sizes > least)
    if least == 0:
        return above
    equal = np.flatnonzero(sizes == least)[: count - len(above)]
    return np.sort(np.concatenate([above, equal]))
