"""Who takes part, and how long the server waits, without a network."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
from flwr.app import Message, RecordDict

from client.message import Answered
from client.wire import write_answered
from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, Problem, QuorumError, RunFailedError
from hqgnet.exchange.update import QueryReply, SiteError
from server.guards import Fault
from server.link import ask
from tests.unit.server.nodes import Nodes, card, roster, said


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


def test_a_site_goes_by_the_name_that_its_key_was_given_to(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"), n3=card("c"), n4=card("d"))
    names = {1: "a", 2: "b", 3: "a"}
    joined = roster(nodes, tiny_experiment, registered=names.get)
    assert [site.name for site in joined.gather()] == ["a", "b"]
    reasons = {facts["node"]: facts["reason"] for event, facts in said(joined) if event == "left-out"}
    assert reasons == {
        "3": "it calls itself c, but its key is that of a",
        "4": "it calls itself d, but its key is of no active site",
    }
    remedies = {node: left_out.problem.remedy for node, left_out in joined._left_out.items()}
    assert remedies == {3: "Write name: a in its site file", 4: "Give it a key"}


def test_a_name_that_cannot_be_looked_up_keeps_a_site_out_until_it_can(tiny_experiment: Experiment) -> None:
    damaged = [True]

    def registered(node: int) -> str:
        if damaged[0]:
            raise ConfigurationError(Problem("index.json", "is damaged", "Restore it"))
        return {1: "a", 2: "b"}[node]

    joined = roster(Nodes(n1=card("a"), n2=card("b")), tiny_experiment, registered=registered)
    with pytest.raises(QuorumError, match=r"cannot be held against its key .*index\.json"):
        joined.gather()
    damaged[0] = False
    for left_out in joined._left_out.values():
        left_out.again_at = 0.0
    assert [site.name for site in joined.gather()] == ["a", "b"]


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


def test_the_expected_are_waited_for_but_enough_are_enough(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"))
    begun = time.monotonic()
    joined = roster(nodes, tiny_experiment, expected_sites=3, wait_for_sites_s=0.5)
    assert [site.name for site in joined.gather()] == ["a", "b"]
    assert time.monotonic() - begun >= 0.5
    nodes.answers[3] = card("c")
    begun = time.monotonic()
    patient = roster(nodes, tiny_experiment, expected_sites=3, wait_for_sites_s=60)
    assert [site.name for site in patient.gather()] == ["a", "b", "c"]
    assert time.monotonic() - begun < 5


def test_who_was_left_out_is_asked_again_with_growing_pauses(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"), n3=SiteError.CODE_NOT_APPROVED)
    joined = roster(nodes, tiny_experiment)
    joined.gather()
    now, asked = time.monotonic(), []
    for second in range(700):
        monkeypatch.setattr(time, "monotonic", lambda at=now + second: at)
        before = len(nodes.asked)
        joined.online()
        asked += [second] * (len(nodes.asked) - before)
        assert nodes.asked.count(3) - 1 == len(asked)
    # From second 0: 15, then 30, 60, 120, 240 more; it would go on every 300.
    assert [after - before for before, after in itertools.pairwise([0, *asked])] == pytest.approx(
        [15, 30, 60, 120, 240], abs=1
    )
    nodes.answers[3] = card("c")
    monkeypatch.setattr(time, "monotonic", lambda: now + 2000)
    assert [site.name for site in joined.online()] == ["a", "b", "c"]
    told = [facts["reason"] for event, facts in said(joined) if event == "left-out"]
    assert told == ["declined (code-not-approved)"]


def test_what_is_told_of_a_bad_card_is_short_and_on_one_line(tiny_experiment: Experiment) -> None:
    class Talkative(Nodes):
        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            [identifier] = message_ids
            message = self._sent[identifier]
            if message.metadata.dst_node_id != 3:
                return super().pull_messages([identifier])
            text = json.dumps({f"key {number}\x1b": 1 for number in range(900)})
            return [write_answered(message, Answered(QueryReply(run="r", card=text).to_json()))]

    joined = roster(Talkative(n1=card("a"), n2=card("b"), n3=None), tiny_experiment)
    assert [site.name for site in joined.gather()] == ["a", "b"]
    [reason] = [facts["reason"] for event, facts in said(joined) if event == "left-out"]
    assert reason.startswith("did not introduce itself (") and reason.isprintable() and len(reason) < 600


def test_a_restarted_node_is_asked_at_once(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"), n3=SiteError.CODE_NOT_APPROVED)
    joined = roster(nodes, tiny_experiment)
    joined.gather()
    del nodes.answers[3]
    assert len(joined.online()) == 2
    nodes.answers[3] = card("c")
    assert [site.name for site in joined.online()] == ["a", "b", "c"]


def test_a_silent_newcomer_holds_nobody_up(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.roster._NEWCOMER_S", 0.2)
    nodes = Nodes(n1=card("a"), n2=card("b"))
    joined = roster(nodes, tiny_experiment)
    joined.gather()
    nodes.answers[3] = None
    begun = time.monotonic()
    for _ in range(5):
        assert [site.name for site in joined.online(patience_s=0.2)] == ["a", "b"]
    assert 0.2 <= time.monotonic() - begun < 2
    assert nodes.asked.count(3) == 1
    nodes.answers[3] = card("c")
    assert [site.name for site in joined.online()] == ["a", "b", "c"]


def test_a_site_whose_data_changed_shows_its_card_again(tiny_experiment: Experiment) -> None:
    nodes = Nodes(n1=card("a"), n2=card("b"))
    joined = roster(nodes, tiny_experiment)
    joined.gather()
    nodes.answers[2] = card("b", patients=4)
    assert [site.card.patients for site in joined.online()] == [5, 5]
    joined.ask_again("b")
    assert [site.card.patients for site in joined.online()] == [5, 4]


def test_a_superlink_that_restarts_is_waited_for(tiny_experiment: Experiment) -> None:
    class Restarting(Nodes):
        failures: ClassVar[dict[str, int]] = {"get_node_ids": 2, "push_messages": 1, "pull_messages": 2}

        def _fail(self, call: str) -> None:
            if self.failures[call]:
                self.failures[call] -= 1
                raise ConnectionError(call)

        def get_node_ids(self) -> Iterable[int]:
            self._fail("get_node_ids")
            return super().get_node_ids()

        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            self._fail("push_messages")
            return super().push_messages(messages)

        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            self._fail("pull_messages")
            return super().pull_messages(message_ids)

    nodes = Restarting(n1=card("a"), n2=card("b"))
    joined = roster(nodes, tiny_experiment, wait_for_sites_s=20)
    assert [site.name for site in joined.gather()] == ["a", "b"]
    assert not any(nodes.failures.values())


def test_a_superlink_that_stays_away_ends_the_run(tiny_experiment: Experiment) -> None:
    class Gone(Nodes):
        def get_node_ids(self) -> Iterable[int]:
            raise ConnectionError("refused")

    with pytest.raises(RunFailedError, match=r"does not answer \(ConnectionError\)"):
        roster(Gone(), tiny_experiment).gather()


def test_a_mistake_of_ours_is_not_tried_again(tiny_experiment: Experiment) -> None:
    class Mistaken(Nodes):
        def get_node_ids(self) -> Iterable[int]:
            raise TypeError("ours")

    with pytest.raises(TypeError):
        roster(Mistaken(), tiny_experiment, wait_for_sites_s=60).gather()
