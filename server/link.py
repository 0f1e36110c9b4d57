"""Asking sites and taking their answers one by one, as they come, until all have answered or time is up.

Flower's grid waits by itself while the SuperLink cannot be reached; what it raises all the same (an answer
with an error code, say, while the SuperLink starts) is tried again here, with growing pauses, up to the
deadline. It also puts replies together out of parts that sites wrote, and fails in many ways on parts that do
not fit each other: that is the reply's fault, and costs its site the round. That the run has been stopped is
a ``BaseException`` of Flower's and ends everything, as it should.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from hqgnet.errors import Problem, RunFailedError
from hqgnet.exchange.update import (
    CuesHeader,
    MalformedMessageError,
    ScoresHeader,
    UpdateHeader,
    read_message,
)
from server.guards import Fault, RefusedReplyError
from server.wire import read_audit_head, read_header, read_refusal

Header = TypeVar("Header", UpdateHeader, ScoresHeader, CuesHeader)
Result = TypeVar("Result")
LOGGER = logging.getLogger("hqgnet.server")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_GROWTH = 1.3
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 10.0
# A late reply is of no use; its message may vanish soon after the deadline.
_TTL_MARGIN_S = 600.0
# Mistakes in this program or in what a reply is made of, which no waiting mends.
_MISTAKES = (TypeError, AttributeError, LookupError, NotImplementedError, AssertionError)


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

    @property
    def audit_head(self) -> dict[str, str]:
        """The head of the site's own audit log as a fact for ours; empty where the site told none."""
        head = None if self.content is None else read_audit_head(self.content)
        return {} if head is None else {"site_audit_head": head}

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


class Inquiry:
    """Requests that have been sent to some nodes, and the answers that are still to come.

    Args:
        grid: Flower's.
        requests: Content by node id.
        message_type: Flower's ``MessageType``.
        group: Shown in Flower's own records (the round).
        deadline_s: Counted from now.

    Attributes:
        begun: When, by ``time.monotonic()``.
    """

    def __init__(
        self, grid: Grid, requests: Mapping[int, RecordDict], message_type: str, group: str, deadline_s: float
    ) -> None:
        self._grid = grid
        self.begun = time.monotonic()
        self._until = self.begun + deadline_s
        self._waiting: dict[str, int] = {}
        self._unsent: list[int] = []
        self._pause = _FIRST_RETRY_S
        self._poll_again_at = 0.0
        for node_id, content in requests.items():
            identifier = self._push(node_id, content, message_type, group, deadline_s)
            if identifier is None:
                self._unsent.append(node_id)
            else:
                self._waiting[identifier] = node_id

    @property
    def nodes(self) -> set[int]:
        """Nodes whose answers are still to come."""
        return {*self._waiting.values(), *self._unsent}

    def arrived(self) -> Iterator[Reply]:
        """Yield the answers that are there now; once the deadline is over, also those that never came."""
        while self._unsent:
            yield Reply(self._unsent.pop(0), None, Fault.TRANSPORT)
        if time.monotonic() >= self._poll_again_at:
            yield from self._pulled()
        if time.monotonic() >= self._until:
            while self._waiting:
                yield Reply(self._waiting.popitem()[1], None, Fault.NO_REPLY)

    def _pulled(self) -> Iterator[Reply]:
        for identifier in list(self._waiting):
            try:
                messages = list(self._grid.pull_messages([identifier]))
            except _MISTAKES as error:
                # The SuperLink has handed the reply out, and does not have it any more.
                LOGGER.warning("a reply cannot be read (%s)", type(error).__name__)
                yield Reply(self._waiting.pop(identifier), None, Fault.MALFORMED)
                continue
            except Exception as error:
                LOGGER.warning("asking for replies failed (%s); trying again", type(error).__name__)
                self._poll_again_at = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, _LONGEST_RETRY_S)
                return
            self._pause = _FIRST_RETRY_S
            for message in messages[:1]:
                yield _reply(self._waiting.pop(identifier), message)

    def _push(
        self, node_id: int, content: RecordDict, message_type: str, group: str, deadline_s: float
    ) -> str | None:
        def push() -> list[str]:
            message = Message(
                content,
                dst_node_id=node_id,
                message_type=message_type,
                ttl=deadline_s + _TTL_MARGIN_S,
                group_id=group,
            )
            # One at a time, so that the id of a message that is turned away cannot be taken for another's.
            return list(self._grid.push_messages([message]))

        try:
            identifiers = persist(push, self._until)
        except RunFailedError:
            return None
        return identifiers[0] if identifiers and identifiers[0] else None


def ask(
    grid: Grid, requests: Mapping[int, RecordDict], message_type: str, group: str, deadline_s: float
) -> Iterator[Reply]:
    """Send each node its request and yield the replies one at a time as they arrive.

    A reply is dropped from memory once the caller goes on. Nodes that have not answered in time come last,
    with :attr:`Fault.NO_REPLY`. The arguments are those of :class:`Inquiry`.
    """
    inquiry = Inquiry(grid, requests, message_type, group, deadline_s)
    pause = _FIRST_PAUSE_S
    while inquiry.nodes:
        before = len(inquiry.nodes)
        yield from inquiry.arrived()
        arrived = len(inquiry.nodes) < before
        pause = _FIRST_PAUSE_S if arrived else min(pause * _GROWTH, _LONGEST_PAUSE_S)
        if inquiry.nodes:
            time.sleep(pause)


def persist(call: Callable[[], Result], until: float) -> Result:
    """Return what ``call`` returns, trying again with growing pauses while it fails.

    Args:
        call: Of Flower's grid.
        until: When to give up, by ``time.monotonic()``.

    Raises:
        RunFailedError: If it still fails then.
    """
    pause = _FIRST_RETRY_S
    while True:
        try:
            return call()
        except _MISTAKES:
            raise
        except Exception as error:
            name = type(error).__name__
            if time.monotonic() + pause > until:
                remedy = "Start it again, and the run with --resume"
                raise RunFailedError(Problem("the SuperLink", f"does not answer ({name})", remedy)) from error
            LOGGER.warning("the SuperLink does not answer (%s); trying again in %.1f s", name, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_RETRY_S)


def _reply(node_id: int, message: Message) -> Reply:
    # The text of an error reply may be a site's raw exception: it is not looked at.
    if message.has_error():
        return Reply(node_id, None, Fault.TRANSPORT)
    content: object = message.content
    if not isinstance(content, RecordDict):  # Flower takes any of its own objects
        return Reply(node_id, None, Fault.MALFORMED)
    return Reply(node_id, content)
