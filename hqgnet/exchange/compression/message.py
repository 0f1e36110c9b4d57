"""Arrays as one compressed message: length of the schema (8 bytes), schema in JSON, the arrays' bytes.

Written and read array by array. What is read comes from a peer that is not trusted: names, shapes and types
are held against what is expected, and lengths against what such shapes make, before memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Array, ArrayError, ArrayFault, Arrays, ArraySpec
from hqgnet.exchange.compression.choice import Form, codec_of
from hqgnet.exchange.compression.codec import Floats
from hqgnet.exchange.compression.exact import difference, is_same, restored
from hqgnet.exchange.compression.schema import (
    LARGEST_SIDE,
    Entry,
    Exact,
    Schema,
    Unchanged,
    read_schema,
)
from hqgnet.exchange.compression.storage import Layout, restore, store
from hqgnet.exchange.update import MalformedMessageError

COMPRESSED = "@compressed"
"""Name of the one array in a message; no parameter's begins so."""

_LENGTH_BYTES = 8
_LONGEST_SCHEMA = 2**26
_WHOLE = {"float32": "<u4", "int64": "<u8"}
_TYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "int64": np.dtype(np.int64)}


@dataclass(frozen=True)
class Encoded:
    """One array, compressed.

    Attributes:
        entry: What the schema says of it.
        data: Its bytes.
        decoded: What the receiver makes of them.
    """

    entry: Entry
    data: bytes
    decoded: Array


def encode_exactly(name: str, array: Array, base: Array | None, *, zstd: bool) -> Encoded:
    """Return an array of which nothing is lost.

    Args:
        name: Its name.
        array: float32 or int64.
        base: What the receiver has; None if it has nothing.
        zstd: Whether to compress.
    """
    shape, dtype = list(array.shape), _WHOLE_NAMES[array.dtype.itemsize]
    if is_same(array, base):
        return Encoded(Unchanged(name=name, shape=shape, stored=0, dtype=dtype), b"", array)
    data, zstd = store([difference(array, base)], zstd)
    return Encoded(Exact(name=name, shape=shape, stored=len(data), zstd=zstd, dtype=dtype), data, array)


def encode(name: str, moved: Floats, base: Array | None, form: Form) -> Encoded:
    """Return a large array as its codec leaves it.

    Args:
        name: Its name.
        moved: By how much it has moved from the base.
        base: What the receiver has; None if it has nothing, which counts as zeros.
        form: Names a lossy codec for arrays of this size.

    Raises:
        ArrayError: If a number is not finite.
    """
    shape = list(moved.shape)
    chosen = form.lossy(moved)
    if chosen is None:
        raise ValueError(f"{form.codec} has no codec for an array of {shape}")
    if not np.isfinite(moved).all():
        raise ArrayError(ArrayFault.NOT_FINITE, name)
    if not moved.any():
        unmoved = np.zeros(moved.shape, np.float32) if base is None else base
        return Encoded(Unchanged(name=name, shape=shape, stored=0, dtype="float32"), b"", unmoved)
    kind, codec = chosen
    facts, parts = codec.encode(np.ascontiguousarray(moved).reshape(-1), moved.shape)
    data, zstd = store(parts, form.zstd)
    entry = kind(name=name, shape=shape, stored=len(data), zstd=zstd, **facts)
    return Encoded(entry, data, _moved_by(entry, parts, base))


def compress(arrays: Mapping[str, Array], form: Form) -> tuple[NDArray[np.uint8], Arrays]:
    """Return arrays for a receiver that has nothing: the message, and what the receiver makes of it.

    Raises:
        ArrayError: If a number is not finite.
    """
    encoded = [
        encode_exactly(name, array, None, zstd=form.zstd)
        if form.lossy(array) is None
        else encode(name, np.asarray(array, np.float32), None, form)
        for name, array in arrays.items()
    ]
    return join(encoded, "zero"), {one.entry.name: one.decoded for one in encoded}


def join(encoded: list[Encoded], base: Literal["zero", "received"]) -> NDArray[np.uint8]:
    """Return the message of compressed arrays."""
    text = Schema(base=base, arrays=[one.entry for one in encoded]).model_dump_json().encode()
    start = len(text).to_bytes(_LENGTH_BYTES, "little") + text
    return np.frombuffer(b"".join([start, *(one.data for one in encoded)]), np.uint8)


def decompress(
    packed: NDArray[Any],
    expected: Mapping[str, ArraySpec] | None,
    base: Mapping[str, Array] | None,
    largest: int | None = None,
) -> Arrays:
    """Return the arrays of a compressed message; an array that is missing in it is missing here.

    Args:
        packed: From a peer that is not trusted: bytes.
        expected: What may be in it; None where only the size is known.
        base: What the sender measured differences from; None if from nothing.
        largest: Bytes that the arrays may take together; None where ``expected`` says it.

    Raises:
        MalformedMessageError: If it is not one whole message of this form.
        ArrayError: If an array is not expected, or of another shape or type.
    """
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise MalformedMessageError("the compressed arrays are not bytes")
    whole = np.ascontiguousarray(packed).data
    schema, data = _schema(whole)
    if schema.base != ("zero" if base is None else "received"):
        raise MalformedMessageError("compressed arrays are differences from something else")
    if sum(entry.stored for entry in schema.arrays) != len(data):
        raise MalformedMessageError("the compressed arrays are cut short, or followed by more")
    for entry in schema.arrays:
        _check(entry, expected, base)
    taken = sum(entry.size * _TYPES[entry.dtype].itemsize for entry in schema.arrays)
    if largest is not None and taken > largest:
        raise MalformedMessageError("the compressed arrays are larger than they may be")
    arrays: Arrays = {}
    start = 0
    for entry in schema.arrays:
        stop = start + entry.stored
        arrays[entry.name] = _decode(entry, data[start:stop], None if base is None else base[entry.name])
        start = stop
    return arrays


def _schema(whole: memoryview) -> tuple[Schema, memoryview]:
    length = int.from_bytes(whole[:_LENGTH_BYTES], "little")
    first = _LENGTH_BYTES + length
    if length > _LONGEST_SCHEMA or first > len(whole):
        raise MalformedMessageError("the compressed arrays are cut short")
    return read_schema(bytes(whole[_LENGTH_BYTES:first])), whole[first:]


def _check(entry: Entry, expected: Mapping[str, ArraySpec] | None, base: Mapping[str, Array] | None) -> None:
    form = (tuple(entry.shape), entry.dtype)
    if math.prod(max(1, side) for side in entry.shape) > LARGEST_SIDE:
        raise MalformedMessageError("a compressed array has no such shape")
    if expected is not None:
        spec = expected.get(entry.name)
        if spec is None:
            raise ArrayError(ArrayFault.UNKNOWN, entry.name)
        if spec.dtype != form[1]:
            raise ArrayError(ArrayFault.DTYPE, entry.name)
        if spec.shape != form[0]:
            raise ArrayError(ArrayFault.SHAPE, entry.name)
    if base is not None:
        origin = base.get(entry.name)
        if origin is None or (origin.shape, str(origin.dtype)) != form:
            raise ArrayError(ArrayFault.UNKNOWN, entry.name)


def _layout(entry: Entry) -> Layout:
    if isinstance(entry, Unchanged):
        return ()
    if isinstance(entry, Exact):
        return ((_WHOLE[entry.dtype], entry.size),)
    return codec_of(type(entry)).layout(entry)


def _decode(entry: Entry, stored: memoryview, base: Array | None) -> Array:
    parts = restore(stored, _layout(entry), entry.zstd)
    array: Array
    if isinstance(entry, Unchanged):
        array = np.zeros(entry.shape, _TYPES[entry.dtype]) if base is None else base
    elif isinstance(entry, Exact):
        array = restored(parts[0], base, _TYPES[entry.dtype]).reshape(entry.shape)
    else:
        array = _moved_by(entry, parts, base)
    return array


def _moved_by(entry: Entry, parts: list[NDArray[np.generic]], base: Array | None) -> Floats:
    """Return base and decoded difference together, as sender and receiver both compute it."""
    out = np.empty(entry.shape, np.float32)
    # What is not finite is refused where arrays are checked.
    with np.errstate(over="ignore", invalid="ignore"):
        codec_of(type(entry)).decode(entry, parts, out.reshape(-1))
        if base is not None:
            np.add(out, base, out=out)
    return out


_WHOLE_NAMES: dict[int, Literal["float32", "int64"]] = {4: "float32", 8: "int64"}
