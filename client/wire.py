"""Flower's records at the site's end: read what the server asks, write what the site answers."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

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
)


def read_request(message: Message) -> tuple[object, Arrays]:
    """Return the JSON text of a request and the arrays beside it.

    Raises:
        MalformedMessageError: If the message has no request, or an array cannot be read.
    """
    content = message.content
    request = content.config_records.get(REQUEST)
    if request is None or JSON_KEY not in request:
        raise MalformedMessageError("the message has no request")
    received: Arrays = {}
    for name, array in content.array_records.get(ARRAYS, ArrayRecord()).items():
        try:
            received[name] = array.numpy()
        except (ValueError, TypeError, EOFError) as error:
            raise MalformedMessageError("an array cannot be read") from error
    return request[JSON_KEY], received


def write_reply(
    message: Message,
    header: str,
    arrays: Mapping[str, exchange_arrays.Array] | None = None,
    guidance: exchange_arrays.Array | None = None,
) -> Message:
    """Return the answer to ``message``: a header in JSON, and arrays where there are any."""
    content = RecordDict({HEADER: ConfigRecord({JSON_KEY: header})})
    if arrays is not None:
        content[ARRAYS] = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    if guidance is not None:
        content[GUIDANCE] = ArrayRecord({GUIDANCE: Array(guidance)})
    return Message(content, reply_to=message)


def write_refusal(message: Message, code: SiteError) -> Message:
    """Return the answer that declines ``message``: a code and nothing else."""
    return Message(RecordDict({REFUSAL: ConfigRecord({CODE_KEY: str(code)})}), reply_to=message)
