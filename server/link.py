"""Asking sites and taking their answers one by one, as they come, until all have answered or time is up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from hqgnet.exchange.update import MalformedMessageError, ScoresHeader, UpdateHeader, read_message
from server.guards import Fault, RefusedReplyError
from server.wire import read_header, read_refusal

Header = TypeVar("Header", UpdateHeader, ScoresHeader)

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_GROWTH = 1.3
# A late reply is of no use; its message may vanish soon after the deadline.
_TTL_MARGIN_S = 600.0


@dataclass(frozen=True)
class Reply:
    """One site's answer, or why there is none.

    Attributes:
        node_id: Of the site that was asked; Flower's error replies may name another.
        content: The answer; None if there is none.
        fault: Why there is none.
    """

    node_id: int
    content: RecordDict | None
    fault: Fault | None = None

    def read(self, kind: type[Header]) -> tuple[Header, RecordDict]:
        """Return the header of an answer and the whole of it.

        Args:
            kind: What the header must be.

        Raises:
            RefusedReplyError: If there is no answer, the site declined, or the header is not of this kind.
        """
        if self.content is None:
            raise RefusedReplyError(self.fault or Fault.TRANSPORT)
        refusal = read_refusal(self.content)
        if refusal is not None:
            raise RefusedReplyError(refusal)
        try:
            return read_message(read_header(self.content), kind), self.content
        except MalformedMessageError as error:
            raise RefusedReplyError(Fault.MALFORMED) from error


def ask(
    grid: Grid, requests: Mapping[int, RecordDict], message_type: str, group: str, deadline_s: float
) -> Iterator[Reply]:
    """Send each node its request and yield the replies one at a time as they arrive.

    A reply is dropped from memory once the caller goes on. Nodes that have not answered in time come last,
    with :attr:`Fault.NO_REPLY`.

    Args:
        grid: Flower's.
        requests: Content by node id.
        message_type: Flower's ``MessageType``.
        group: Shown in Flower's own records (the round).
        deadline_s: Counted from now.
    """
    begun = time.monotonic()
    waiting: dict[str, int] = {}
    unsent: list[int] = []
    for node_id, content in requests.items():
        message = Message(
            content,
            dst_node_id=node_id,
            message_type=message_type,
            ttl=deadline_s + _TTL_MARGIN_S,
            group_id=group,
        )
        # One at a time, so that the id of a message that is turned away cannot be taken for another's.
        identifiers = list(grid.push_messages([message]))
        if identifiers:
            waiting[identifiers[0]] = node_id
        else:
            unsent.append(node_id)
    yield from (Reply(node_id, None, Fault.TRANSPORT) for node_id in unsent)
    pause = _FIRST_PAUSE_S
    while waiting and time.monotonic() - begun < deadline_s:
        arrived = False
        for identifier in list(waiting):
            for message in grid.pull_messages([identifier]):
                arrived = True
                yield _reply(waiting.pop(identifier), message)
        pause = _FIRST_PAUSE_S if arrived else min(pause * _GROWTH, _LONGEST_PAUSE_S)
        if waiting:
            time.sleep(pause)
    yield from (Reply(node_id, None, Fault.NO_REPLY) for node_id in waiting.values())


def _reply(node_id: int, message: Message) -> Reply:
    # The text of an error reply may be a site's raw exception: it is not looked at.
    return Reply(node_id, None, Fault.TRANSPORT) if message.has_error() else Reply(node_id, message.content)
