"""Many arrays as one: what crosses the wire is a single safetensors text of bytes.

Flower sends each array as an object of its own, with several requests and database writes each; a network
has hundreds. Packed, a message is a handful of requests, whatever the network.

Reading is strict, and copies nothing: see https://github.com/huggingface/safetensors#format for the format.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.update import MalformedMessageError

PACKED = "packed"
"""Name of the one array in a message."""

_LENGTH_BYTES = 8
_LONGEST_HEADER = 2**24
# More, or longer ones, no array of a network has; and multiplied they would be numbers of a million digits.
_MOST_SIDES = 8
_LONGEST_SIDE = 2**40
_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


def pack(arrays: Mapping[str, Array]) -> NDArray[np.uint8]:
    """Return arrays of float32 and int64 as one array of bytes."""
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return np.frombuffer(save(plain), np.uint8)


def unpack(packed: NDArray[Any]) -> Arrays:
    """Return read-only views of what was packed, by name.

    Args:
        packed: What :func:`pack` gave, from a peer that is not trusted.

    Raises:
        MalformedMessageError: If it is not one whole safetensors text of float32 and int64 arrays.
    """
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise MalformedMessageError("the packed arrays are not bytes")
    whole = np.ascontiguousarray(packed).data
    length = int.from_bytes(whole[:_LENGTH_BYTES], "little")
    first = _LENGTH_BYTES + length
    if length > _LONGEST_HEADER or first > len(whole):
        raise MalformedMessageError("the packed arrays are cut short")
    try:
        header = json.loads(bytes(whole[_LENGTH_BYTES:first]))
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError("the packed arrays have no header") from error
    if not isinstance(header, dict):
        raise MalformedMessageError("the packed arrays have no header")
    return _views(header, whole[first:])


def read_npy(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a read-only view of an array in NumPy's file format, in which Flower sends it.

    Args:
        data: From a peer that is not trusted.
        dtype: What its type must be.

    Raises:
        MalformedMessageError: If it is of another type or order, or not of the length that it says.
    """
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise MalformedMessageError("an array is of another npy version")
        shape, fortran_order, found = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, EOFError, SyntaxError, TokenError, RecursionError) as error:
        raise MalformedMessageError("an array cannot be read") from error
    if fortran_order or found != dtype or len(shape) > _MOST_SIDES or not all(map(_is_side, shape)):
        raise MalformedMessageError(f"an array is not plain {dtype}")
    start = stream.tell()
    if len(data) - start != math.prod(shape) * dtype.itemsize:
        raise MalformedMessageError("an array is not as long as it says")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def _views(header: dict[str, Any], data: memoryview) -> Arrays:
    arrays: Arrays = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: _start(item[1])):
        match entry:
            case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
                sides = len(shape) <= _MOST_SIDES and all(map(_is_side, shape))
                dtype = _TYPES.get(kind)
            case _:
                raise MalformedMessageError("an array is not described")
        if dtype is None or not sides:
            raise MalformedMessageError("an array is not plain float32 or int64")
        # One after the other, without gaps: no byte belongs to two arrays, and none to no array.
        if start != end or stop - start != math.prod(shape) * dtype.itemsize or stop > len(data):
            raise MalformedMessageError("an array is not as long as it says")
        view: Array = np.frombuffer(data[start:stop], dtype).reshape(shape)
        arrays[name] = view
        end = stop
    if end != len(data):
        raise MalformedMessageError("there is more than the arrays that are described")
    return arrays


def _is_side(side: object) -> bool:
    return type(side) is int and 0 <= side <= _LONGEST_SIDE


def _start(entry: object) -> tuple[int, int]:
    match entry:
        case {"data_offsets": [int(start), int(stop)]}:
            return start, stop
        case _:
            return -1, -1
