"""An update for the wire, with error feedback: what compression loses of it goes with the next one.

Each round's difference is sent together with what earlier rounds' messages left out (Seide et al. 2014,
"1-Bit stochastic gradient descent"; Karimireddy et al., arXiv 1901.09847), so that over the rounds everything
arrives, a little later. What is left out is measured against what the receiver really has, after rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import Array, Arrays, distance
from hqgnet.exchange.compression.choice import Form, upward
from hqgnet.exchange.compression.codec import Floats
from hqgnet.exchange.compression.message import Encoded, encode, encode_exactly, join

# float32's rounding must not bring a scaled update back over its limit.
_MARGIN = 1e-6


@dataclass(frozen=True)
class CompressedUpdate:
    """An update as it leaves.

    Attributes:
        packed: The message.
        decoded: What the receiver makes of it.
        left_out: By array, what is still to be sent.
        form: Codec and whether zstd.
    """

    packed: NDArray[np.uint8]
    decoded: Arrays
    left_out: dict[str, Floats]
    form: str


def compress_update(
    arrays: Mapping[str, Array],
    received: Mapping[str, Array],
    left_out: Mapping[str, Floats],
    settings: CompressionConfig,
    limit: float | None = None,
) -> CompressedUpdate:
    """Return an update as differences from what came.

    Args:
        arrays: The update: clipped, with noise, all that is to be done to it.
        received: What came, under the same names; the receiver has the same.
        left_out: Of the round before; empty at the beginning of a phase.
        settings: Which codec, and whether zstd.
        limit: The most that what leaves may move from what came, in L2 norm over all float arrays. What goes
            beyond it is left out this time.

    Raises:
        ArrayError: If a number is not finite.
    """
    form = upward(settings)
    update = _encoded(arrays, received, left_out, form, settings.has_feedback, 1.0)
    if limit is None:
        return update
    lossy = {name: array for name, array in update.decoded.items() if form.lossy(array) is not None}
    exact = {name: array for name, array in arrays.items() if name not in lossy}
    moved, room = distance(lossy, received), limit**2 - distance(exact, received) ** 2
    if moved and moved**2 > room:
        factor = math.sqrt(max(0.0, room)) / moved * (1 - _MARGIN)
        update = _encoded(arrays, received, left_out, form, settings.has_feedback, factor)
    return update


def _encoded(
    arrays: Mapping[str, Array],
    received: Mapping[str, Array],
    left_out: Mapping[str, Floats],
    form: Form,
    has_feedback: bool,
    factor: float,
) -> CompressedUpdate:
    encoded: list[Encoded] = []
    remaining: dict[str, Floats] = {}
    for name, array in arrays.items():
        base = received[name]
        if form.lossy(array) is None:
            encoded.append(encode_exactly(name, array, base, zstd=form.zstd))
            continue
        with np.errstate(over="ignore"):
            moved = np.subtract(array, base, dtype=np.float32)
        if name in left_out:
            moved += left_out[name]
        one = encode(name, moved if factor == 1.0 else moved * np.float32(factor), base, form)
        encoded.append(one)
        if has_feedback:
            moved -= np.subtract(one.decoded, base, dtype=np.float32)
            if moved.any():
                remaining[name] = moved
    decoded = {one.entry.name: one.decoded for one in encoded}
    return CompressedUpdate(join(encoded, "received"), decoded, remaining, form.name)
