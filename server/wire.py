"""Flower's records at the server's end: write requests, read replies that are not trusted."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from hqgnet.exchange import arrays as exchange_arrays
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.update import (
    ARRAYS,
    CODE_KEY,
    GUIDANCE,
    HEADER,
    JSON_KEY,
    REFUSAL,
    REQUEST,
    MalformedMessageError,
    SiteError,
    read_site_error,
)

_TYPES = {"float32": np.dtype("<f4"), "int64": np.dtype("<i8")}


def write_request(text: str, arrays: ArrayRecord | None = None) -> RecordDict:
    """Return the content of a request; ``arrays`` may be shared between the requests of a round."""
    content = RecordDict({REQUEST: ConfigRecord({JSON_KEY: text})})
    if arrays is not None:
        content[ARRAYS] = arrays
    return content


def write_arrays(arrays: Mapping[str, exchange_arrays.Array]) -> ArrayRecord:
    """Return parameters as a record."""
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def size_of(content: RecordDict) -> int:
    """Return the bytes of all arrays in a message."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def read_refusal(content: RecordDict) -> SiteError | None:
    """Return the code with which a site declined, or None if it did not."""
    record = content.config_records.get(REFUSAL)
    return None if record is None else read_site_error(record.get(CODE_KEY))


def read_header(content: RecordDict) -> object:
    """Return the JSON text of a reply.

    Raises:
        MalformedMessageError: If there is none.
    """
    record = content.config_records.get(HEADER)
    if record is None or JSON_KEY not in record:
        raise MalformedMessageError("the reply has no header")
    return record[JSON_KEY]


def read_arrays(content: RecordDict, name: str = ARRAYS) -> Arrays:
    """Return views of a reply's arrays, without copying them.

    Raises:
        MalformedMessageError: If an array is not plain float32 or int64, or not of the size that it says.
    """
    record = content.array_records.get(name, ArrayRecord())
    return {key: _view(array) for key, array in record.items()}


def read_guidance(content: RecordDict, size: int) -> exchange_arrays.Array | None:
    """Return the mean cue in a reply, ``(size,)``, or None if the site sent none.

    Raises:
        MalformedMessageError: If it is of another form, or not finite.
    """
    if GUIDANCE not in content.array_records:
        return None
    arrays = read_arrays(content, GUIDANCE)
    vector = arrays.get(GUIDANCE)
    if len(arrays) != 1 or vector is None or vector.shape != (size,) or vector.dtype != np.float32:
        raise MalformedMessageError("the guidance is not one vector of float32")
    if not np.isfinite(vector).all():
        raise MalformedMessageError("the guidance is not finite")
    return vector


def _view(array: Array) -> exchange_arrays.Array:
    stream = io.BytesIO(array.data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise MalformedMessageError("an array is of another npy version")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, EOFError) as error:
        raise MalformedMessageError("an array cannot be read") from error
    if fortran_order or dtype not in _TYPES.values():
        raise MalformedMessageError("an array is not plain float32 or int64")
    start = stream.tell()
    if len(array.data) - start != int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise MalformedMessageError("an array is not as long as it says")
    view: exchange_arrays.Array = np.frombuffer(array.data, dtype, offset=start).reshape(shape)
    return view
