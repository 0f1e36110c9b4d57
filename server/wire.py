"""Flower's records at the server's end: write requests, read replies that are not trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange import arrays as exchange_arrays
from hqgnet.exchange.arrays import Arrays, ArraySpec
from hqgnet.exchange.compression.message import COMPRESSED, decompress
from hqgnet.exchange.packing import PACKED, pack, read_npy, unpack
from hqgnet.exchange.update import (
    ARRAYS,
    AUDIT,
    CODE_KEY,
    CUES,
    FROZEN,
    GUIDANCE,
    HEAD_KEY,
    HEADER,
    JSON_KEY,
    REFUSAL,
    REQUEST,
    MalformedMessageError,
    SiteError,
    read_site_error,
)


def write_request(
    text: str,
    arrays: ArrayRecord | None = None,
    cues: ArrayRecord | None = None,
    frozen: ArrayRecord | None = None,
) -> RecordDict:
    """Return the content of a request; its records may be shared between the requests of a round.

    Args:
        text: The request in JSON.
        arrays: Parameters.
        cues: Of a bank, for a site without HQ images.
        frozen: Parameters that nobody trains, for a site that does not have them yet.
    """
    content = RecordDict({REQUEST: ConfigRecord({JSON_KEY: text})})
    for name, record in ((ARRAYS, arrays), (CUES, cues), (FROZEN, frozen)):
        if record is not None:
            content[name] = record
    return content


def write_arrays(arrays: Mapping[str, exchange_arrays.Array]) -> ArrayRecord:
    """Return parameters as a record of one array (:mod:`hqgnet.exchange.packing`)."""
    return ArrayRecord({PACKED: Array(pack(arrays))})


def write_compressed(packed: NDArray[np.uint8]) -> ArrayRecord:
    """Return compressed parameters (:mod:`hqgnet.exchange.compression.message`) as a record of one array."""
    return ArrayRecord({COMPRESSED: Array(packed)})


def size_of(content: RecordDict) -> int:
    """Return the bytes of all arrays in a message."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def read_refusal(content: RecordDict) -> SiteError | None:
    """Return the code with which a site declined, or None if it did not."""
    record = content.config_records.get(REFUSAL)
    return None if record is None else read_site_error(record.get(CODE_KEY))


def read_audit_head(content: RecordDict) -> str | None:
    """Return the head of the site's own audit log; None where the reply has none, or no proper one."""
    record = content.config_records.get(AUDIT)
    head = None if record is None else record.get(HEAD_KEY)
    return head if isinstance(head, str) and re.fullmatch("[0-9a-f]{64}", head) else None


def read_header(content: RecordDict) -> object:
    """Return the JSON text of a reply.

    Raises:
        MalformedMessageError: If there is none.
    """
    record = content.config_records.get(HEADER)
    if record is None or JSON_KEY not in record:
        raise MalformedMessageError("the reply has no header")
    return record[JSON_KEY]


def read_arrays(content: RecordDict) -> Arrays:
    """Return views of a reply's arrays, without copying them; none where it has none.

    Raises:
        MalformedMessageError: If they are not packed, or an array is not plain float32 or int64, or not of
            the size that it says.
    """
    record = content.array_records.get(ARRAYS, ArrayRecord())
    if not record:
        return {}
    if list(record) != [PACKED]:
        raise MalformedMessageError("the arrays are not packed into one")
    return unpack(read_npy(record[PACKED].data, np.dtype("u1")))


def read_update(
    content: RecordDict, settings: CompressionConfig, expected: Mapping[str, ArraySpec], sent: Arrays
) -> Arrays:
    """Return the arrays of an update, in whichever form the experiment has them sent.

    Args:
        content: The reply.
        settings: Say the form.
        expected: What may be in it; decides how much memory is taken.
        sent: What the site's differences are from.

    Raises:
        MalformedMessageError: If it is of another form, or not whole.
        ArrayError: If a compressed array is not expected, or of another shape or type.
    """
    if not settings.is_up:
        return read_arrays(content)
    record = content.array_records.get(ARRAYS, ArrayRecord())
    if list(record) != [COMPRESSED]:
        raise MalformedMessageError("the update is not compressed")
    return decompress(read_npy(record[COMPRESSED].data, np.dtype("u1")), expected, sent)


def read_guidance(content: RecordDict, size: int) -> exchange_arrays.Array | None:
    """Return the mean cue in a reply, ``(size,)``, or None if the site sent none.

    Raises:
        MalformedMessageError: If it is of another form, or not finite.
    """
    if GUIDANCE not in content.array_records:
        return None
    record = content.array_records[GUIDANCE]
    if list(record) != [GUIDANCE]:
        raise MalformedMessageError("the guidance is not one vector")
    vector: exchange_arrays.Array = read_npy(record[GUIDANCE].data, np.dtype("<f4"))
    if vector.shape != (size,):
        raise MalformedMessageError("the guidance is of another length")
    if not np.isfinite(vector).all():
        raise MalformedMessageError("the guidance is not finite")
    return vector
