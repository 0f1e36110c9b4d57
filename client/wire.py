"""Flower's records at the site's end: read what the server asks, write what the site answers."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from client.message import Answered
from hqgnet.cue_bank import PREFIX
from hqgnet.exchange.arrays import Array as ExchangeArray
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.compression.message import COMPRESSED
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
)


def read_asked(message: Message) -> tuple[object, Arrays]:
    """Return the JSON text of a request and all arrays beside it; compressed ones are left as they came.

    Raises:
        MalformedMessageError: If the message has no request, an array cannot be read, or came twice.
    """
    content = message.content
    request = content.config_records.get(REQUEST)
    if request is None or JSON_KEY not in request:
        raise MalformedMessageError("the message has no request")
    parts = [_parameters(content), _lent(content), _unpacked(content, FROZEN)]
    arrays = {name: array for part in parts for name, array in part.items()}
    if len(arrays) != sum(len(part) for part in parts):
        raise MalformedMessageError("an array came twice")
    return request[JSON_KEY], arrays


def _parameters(content: RecordDict) -> Arrays:
    record = content.array_records.get(ARRAYS, ArrayRecord())
    if list(record) == [COMPRESSED]:
        packed: ExchangeArray = read_npy(record[COMPRESSED].data, np.dtype("u1"))  # bytes in place of arrays
        return {COMPRESSED: packed}
    return _unpacked(content, ARRAYS)


def _lent(content: RecordDict) -> Arrays:
    """Return the cues that came beside the parameters; the names of their arrays are their own."""
    lent = _unpacked(content, CUES)
    if not all(name.startswith(PREFIX) for name in lent):
        raise MalformedMessageError("there is something else among the cues")
    return lent


def _unpacked(content: RecordDict, part: str) -> Arrays:
    record = content.array_records.get(part, ArrayRecord())
    if not record:
        return {}
    if list(record) != [PACKED]:
        raise MalformedMessageError("the arrays are not packed into one")
    return unpack(read_npy(record[PACKED].data, np.dtype("u1")))


def write_answered(message: Message, answered: Answered) -> Message:
    """Return the reply to ``message``: a header in JSON with arrays where there are any, or a code alone.

    Beside either stands the hash of the audit's entry about it, where there is one.
    """
    content = _content(answered)
    if answered.audit_head is not None:
        content[AUDIT] = ConfigRecord({HEAD_KEY: answered.audit_head})
    return Message(content, reply_to=message)


def _content(answered: Answered) -> RecordDict:
    if answered.code is not None or answered.header is None:
        return RecordDict({REFUSAL: ConfigRecord({CODE_KEY: str(answered.code or SiteError.INTERNAL)})})
    content = RecordDict({HEADER: ConfigRecord({JSON_KEY: answered.header})})
    if answered.arrays is not None and COMPRESSED in answered.arrays:
        content[ARRAYS] = ArrayRecord({COMPRESSED: Array(answered.arrays[COMPRESSED])})
    elif answered.arrays is not None:
        content[ARRAYS] = ArrayRecord({PACKED: Array(pack(answered.arrays))})
    if answered.guidance is not None:
        content[GUIDANCE] = ArrayRecord({GUIDANCE: Array(answered.guidance)})
    return content
