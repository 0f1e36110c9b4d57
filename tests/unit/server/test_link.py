"""Asking sites: a reply that Flower cannot put together costs its own site the round, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, validate_object_content
from flwr.supercore.task_identity import TaskIdentity

from server.guards import Fault
from server.link import Reply, ask

Rewrite = Callable[[str, Any], Any]


def rewritten(message: Message, rewrite: Rewrite) -> Message:
    """Put a message together out of its parts, as Flower's grid does, with JSON in them changed by a site.

    Each part is checked as the SuperLink checks what a site sends it.
    """
    parts: dict[str, bytes] = {}
    renamed: dict[str, str] = {}
    for identifier, part in get_all_nested_objects(message).items():
        head, _, body = part.deflate().partition(b"\0")
        kind, children, _ = head.decode().split(" ")
        for old, new in renamed.items():
            children, body = children.replace(old, new), body.replace(old.encode(), new.encode())
        if kind in ("Array", "RecordDict"):
            body = json.dumps(rewrite(kind, json.loads(body))).encode()
        whole = f"{kind} {children} {len(body)}".encode() + b"\0" + body
        validate_object_content(whole)
        renamed[identifier] = get_object_id(whole)
        parts[renamed[identifier]] = whole
    inflated = inflate_object_from_contents(list(parts)[-1], parts)
    assert isinstance(inflated, Message)
    return inflated


def without_chunks(kind: str, body: Any) -> Any:
    return {} if kind == "Array" else body


def chunk_that_is_not_there(kind: str, body: Any) -> Any:
    return body | {"arraychunk_ids": [7]} if kind == "Array" else body


def shape_of_no_sides(kind: str, body: Any) -> Any:
    return body | {"shape": 3} if kind == "Array" else body


def list_of_records(kind: str, body: Any) -> Any:
    return [body] if kind == "RecordDict" else body


def unchanged(kind: str, body: Any) -> Any:
    return body


class Hostile:
    """Stands for Flower's grid: the first node's replies are rewritten on the way."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._sent: dict[str, Message] = {}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        [message] = messages
        identifier = str(message.metadata.dst_node_id)
        message.metadata.__dict__["_message_id"] = identifier
        self._sent[identifier] = message
        return [identifier]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        [identifier] = message_ids
        packed = ArrayRecord({"packed": Array(np.zeros(9, np.uint8))})
        reply = Message(RecordDict({"arrays": packed}), reply_to=self._sent.pop(identifier))
        return [rewritten(reply, self._rewrite if identifier == "1" else unchanged)]


class OtherContent(Hostile):
    """The first node's content is a record by itself."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        [reply] = super().pull_messages(message_ids)
        if reply.metadata.src_node_id == 1:
            reply.__dict__["_content"] = ConfigRecord({"json": "{}"})
        return [reply]


def replies_of(grid: Any) -> dict[int, Reply]:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    requests = {node: RecordDict() for node in (1, 2)}
    return {reply.node_id: reply for reply in ask(grid, requests, MessageType.TRAIN, "round", 5.0)}


@pytest.mark.parametrize(
    "rewrite", [without_chunks, chunk_that_is_not_there, shape_of_no_sides, list_of_records]
)
def test_a_reply_of_parts_that_do_not_fit_is_one_site_s_fault(rewrite: Rewrite) -> None:
    replies = replies_of(Hostile(rewrite))
    assert (replies[1].content, replies[1].fault) == (None, Fault.MALFORMED)
    content = replies[2].content
    assert content is not None
    assert list(content.array_records) == ["arrays"]


def test_content_of_another_kind_is_one_site_s_fault() -> None:
    replies = replies_of(OtherContent(unchanged))
    assert (replies[1].content, replies[1].fault) == (None, Fault.MALFORMED)
    assert replies[1].audit_head == {}
    assert replies[2].content is not None
