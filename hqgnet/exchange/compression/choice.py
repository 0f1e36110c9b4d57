"""Which codec an array gets, and how many bytes that makes at most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hqgnet.compression_config import CodecName, CompressionConfig
from hqgnet.exchange.arrays import Array
from hqgnet.exchange.compression.codec import Codec
from hqgnet.exchange.compression.halves import BFloat16Codec, Float16Codec
from hqgnet.exchange.compression.int8 import Int8Codec
from hqgnet.exchange.compression.schema import BFloat16, Float16, Int8, TopK
from hqgnet.exchange.compression.topk import TopKCodec

# Biases, scales and statistics of normalisation: a hundredth of a network's numbers, and the most sensitive.
_SMALLEST = 1024
_FEWEST_SIDES = 2
# The schema's text on one array beside its name, at most.
_ENTRY_BYTES = 320


@dataclass(frozen=True)
class Form:
    """How the arrays of one message are compressed.

    Attributes:
        codec: For large float32 arrays; ``float32`` loses nothing.
        zstd: Whether bytes are compressed further.
        topk_share: See :class:`hqgnet.compression_config.CompressionConfig`.
    """

    codec: CodecName
    zstd: bool
    topk_share: float = 0.01

    @property
    def name(self) -> str:
        """As an audit tells it."""
        codec = f"topk {self.topk_share:g}" if self.codec == "topk" else self.codec
        return f"{codec}+zstd" if self.zstd else codec

    def lossy(self, array: Array) -> tuple[type[Any], Codec[Any]] | None:
        """Return the schema's entry and the codec for an array; None for one that stays exact."""
        if self.codec == "float32" or not _is_large(array):
            return None
        return _ENTRIES[self.codec], codec_of(_ENTRIES[self.codec], self.topk_share)


def upward(settings: CompressionConfig) -> Form:
    """Return the form of updates."""
    return Form(settings.up, settings.zstd, settings.topk_share)


def downward(settings: CompressionConfig) -> Form:
    """Return the form of the model that is sent to be trained."""
    return Form(settings.down, settings.zstd)


def codec_of(entry: type[Any], topk_share: float = 1.0) -> Codec[Any]:
    """Return the codec behind a kind of schema entry; to read, the share does not matter."""
    return TopKCodec(topk_share) if entry is TopK else _CODECS[entry]


def most_bytes(arrays: Mapping[str, Array], settings: CompressionConfig) -> int:
    """Return how many bytes an update of such arrays takes at most, before any is made."""
    if not settings.is_up:
        return sum(array.nbytes for array in arrays.values())
    form, total = upward(settings), 0
    for name, array in arrays.items():
        chosen = form.lossy(array)
        data = array.nbytes if chosen is None else chosen[1].most_bytes(array.shape)
        total += data + len(name.encode()) + _ENTRY_BYTES
    return total


def _is_large(array: Array) -> bool:
    return array.dtype == "float32" and array.ndim >= _FEWEST_SIDES and math.prod(array.shape) >= _SMALLEST


_ENTRIES: dict[str, type[Any]] = {"float16": Float16, "bfloat16": BFloat16, "int8": Int8, "topk": TopK}
_CODECS: dict[type[Any], Codec[Any]] = {
    Float16: Float16Codec(),
    BFloat16: BFloat16Codec(),
    Int8: Int8Codec(),
}
