"""A roster for tests, and what stands for Flower's grid: nodes that answer as they are told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Error, Message
from flwr.supercore.task_identity import TaskIdentity

from client.message import Answered
from client.wire import write_answered
from hqgnet.config import Experiment
from hqgnet.exchange.audit import AuditLog
from hqgnet.exchange.data_card import DataCard, SplitCounts
from hqgnet.exchange.update import QueryReply, SiteError
from server.context import RunContext
from server.roster import Registered, Roster
from server.run_directory import RunDirectory

COUNTS = SplitCounts(train=8, validation=1, test=2)


def card(name: str, **changes: Any) -> DataCard:
    facts = {"name": name, "modality": "fundus", "channels": 3, "lq": COUNTS, "hq": COUNTS, "patients": 5}
    facts |= {"masks": 8, "twins": 0, "skipped": 0, "shortest_side": 48, "longest_side": 48}
    return DataCard(**(facts | {"has_masks": True, "has_twins": False} | changes))  # type: ignore[arg-type]


class Nodes:
    """Stands for Flower's grid: each node answers with its card, a refusal, an error, or not at all."""

    def __init__(self, **answers: Any) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self.answers = {int(node.removeprefix("n")): answer for node, answer in answers.items()}
        self.asked: list[int] = []
        self._sent: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        return list(self.answers)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        [message] = messages
        self.asked.append(message.metadata.dst_node_id)
        if self.answers[message.metadata.dst_node_id] == "unsent":
            return []
        identifier = str(len(self.asked))
        message.metadata.__dict__["_message_id"] = identifier
        self._sent[identifier] = message
        return [identifier]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        [identifier] = message_ids
        message = self._sent[identifier]
        answer = self.answers[message.metadata.dst_node_id]
        if answer is None:
            return []
        if isinstance(answer, SiteError):
            return [write_answered(message, Answered(code=answer))]
        if answer == "error":
            return [Message(Error(code=1, reason="/home/patient"), reply_to=message)]
        reply = QueryReply(run="r", card=answer.to_json())
        return [write_answered(message, Answered(reply.to_json()))]


class Silent:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def say(self, event: str, **facts: Any) -> None:
        self.said.append((event, facts))


def said(joined: Roster) -> list[tuple[str, dict[str, Any]]]:
    silent: Any = joined._context.progress
    told: list[tuple[str, dict[str, Any]]] = silent.said
    return told


def roster(
    nodes: Nodes,
    experiment: Experiment,
    exactly: int | None = None,
    registered: Registered | None = None,
    **federation: Any,
) -> Roster:
    changed = experiment.federation.model_copy(
        update={"minimum_sites": 2, "wait_for_sites_s": 0.3} | federation
    )
    experiment = experiment.model_copy(update={"federation": changed})
    folder = Path(tempfile.mkdtemp(prefix="roster-"))
    context = RunContext(
        nodes,  # type: ignore[arg-type]
        experiment,
        "r",
        RunDirectory(folder),
        Silent(),  # type: ignore[arg-type]
        AuditLog(folder / "audit.jsonl"),
    )
    return Roster(context, exactly, registered)
