"""What a federation that ran in memory asked of its sites, and said."""

from __future__ import annotations

from typing import Any

from flwr.app import Message

from hqgnet.exchange.packing import PACKED, unpack
from hqgnet.exchange.update import CUES


def requests(run: Any, kind: str) -> list[tuple[int, Message]]:
    return [
        (message.metadata.dst_node_id - 1000, message)
        for message in run.grid.requests
        if message.metadata.message_type == kind
    ]


def events(run: Any, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.rows("progress.jsonl") if event["event"] == kind]


def lent_in(message: Message) -> dict[str, Any]:
    record = message.content.array_records.get(CUES)
    return {} if record is None else unpack(record[PACKED].numpy())
