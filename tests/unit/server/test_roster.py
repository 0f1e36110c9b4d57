"""Who takes part, and how long the server waits, without a network."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.message import Answered
from client.wire import write_answered
from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, QuorumError
from hqgnet.exchange.data_card import DataCard, SplitCounts
from hqgnet.exchange.update import QueryReply, SiteError
from server.guards import Fault
from server.link import ask
from server.roster import Roster

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


def roster(nodes: Nodes, experiment: Experiment, exactly: int | None = None, **federation: Any) -> Roster:
    changed = experiment.federation.model_copy(
        update={"minimum_sites": 2, "wait_for_sites_s": 0.3} | federation
    )
    experiment = experiment.model_copy(update={"federation": changed})
    return Roster(nodes, experiment, "r", Silent(), exactly)  # type: ignore[arg-type]


def test_sites_come_in_the_order_of_their_names_and_are_asked_once(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n7=card("b"), n3=card("c"), n9=card("a"))
    joined = roster(nodes, tiny_experiment)
    assert [site.name for site in joined.gather()] == ["a", "b", "c"]
    assert [site.node_id for site in joined.online()] == [9, 7, 3]
    assert sorted(nodes.asked) == [3, 7, 9]


def test_a_site_may_come_back_under_another_node(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"))
    joined = roster(nodes, tiny_experiment)
    joined.gather()
    nodes.answers.pop(1)
    assert [site.name for site in joined.online()] == ["b"]
    nodes.answers[5] = card("a")
    assert [(site.name, site.node_id) for site in joined.online()] == [("a", 5), ("b", 2)]


@pytest.mark.parametrize(
    "other", [card("a"), card("b", modality="ccm", channels=1), SiteError.DATA, "error", "unsent"]
)
def test_who_does_not_fit_is_left_out_and_the_wait_is_bounded(
    other: Any, tiny_experiment: Experiment
) -> None:
    joined = roster(Nodes(n1=card("a"), n2=other), tiny_experiment)
    begun = time.monotonic()
    with pytest.raises(QuorumError) as caught:
        joined.gather()
    assert time.monotonic() - begun < 5
    assert "1 of 2 sites joined" in str(caught.value) and "node 2" in str(caught.value)
    assert "patient" not in str(caught.value)


def test_in_a_simulation_every_site_must_fit(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"), n3=SiteError.DATA)
    with pytest.raises(ConfigurationError, match="declined \\(site-data\\)"):
        roster(nodes, tiny_experiment, exactly=3).gather()


def test_the_deadline_ends_a_round_without_the_late(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=None, n3="error")
    content = RecordDict()
    begun = time.monotonic()
    replies = list(ask(nodes, dict.fromkeys((1, 2, 3), content), "query", "g", 0.4))  # type: ignore[arg-type]
    assert 0.4 <= time.monotonic() - begun < 3
    assert {reply.node_id: reply.fault for reply in replies} == {
        1: None,
        3: Fault.TRANSPORT,
        2: Fault.NO_REPLY,
    }
    assert replies[-1].node_id == 2
