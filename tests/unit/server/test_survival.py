"""Bad updates, absent sites and an unsteady SuperLink: who is harmed, and who goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message

from hqgnet.config import Experiment
from hqgnet.errors import QuorumError
from hqgnet.exchange.arrays import digest_arrays
from hqgnet.exchange.update import ARRAYS, AUDIT, HEAD_KEY
from server import wire
from server.rounds import pause_before
from server.wire import read_arrays

Run = Callable[..., Any]
HEAD = "ab" * 32


def with_federation(experiment: Experiment, **changes: object) -> Experiment:
    return experiment.model_copy(update={"federation": experiment.federation.model_copy(update=changes)})


def altered(reply: Message, change: Callable[[str, np.ndarray[Any, Any]], Any]) -> Message:
    arrays = wire.read_arrays(reply.content)
    changed = {name: np.asarray(change(name, array)) for name, array in arrays.items()}
    reply.content[ARRAYS] = wire.write_arrays(changed)
    return reply


def spoil(reply: Message, way: str) -> Message:
    if way == "hundredfold":
        return altered(reply, lambda _, array: array * 100 if array.dtype == np.float32 else array)
    if way == "nan":
        return altered(reply, lambda _, array: array * np.float32("nan") if array.ndim == 4 else array)
    if way == "schema":
        return altered(reply, lambda _, array: array[:1] if array.ndim else array)
    record = reply.content.array_records[ARRAYS]
    next(iter(record.values())).data = b"\x93NUMPY"
    return reply


def test_bad_updates_are_left_out_and_the_site_is_taken_again(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    ways = {"pretrain-1-0": "nan", "pretrain-2-0": "hundredfold", "pretrain-3-0": "schema"}
    ways |= {"pretrain-4-0": "malformed"}

    def tamper(request: Message, reply: Message) -> Message:
        way = ways.get(request.metadata.group_id)
        if request.metadata.message_type == "train":
            reply.content[AUDIT] = ConfigRecord({HEAD_KEY: HEAD})
            if way and request.metadata.dst_node_id == 1002:
                return spoil(reply, way)
        return reply

    experiment = with_federation(shorten(quick_experiment, pretrain=5), minimum_sites=2)
    run = federate(experiment, [*tiny_site_files, tiny_site_files[0]], tamper)
    rows = run.rows("rounds.jsonl")
    assert [row["failed"].get("site-2") for row in rows] == [
        "array-not-finite",
        "norm-outlier",
        "array-shape",
        "reply-malformed",
        None,
    ]
    assert [sorted(row["sites"]) for row in rows] == [["site-0", "site-1"]] * 4 + [
        ["site-0", "site-1", "site-2"]
    ]
    alone = federate(shorten(experiment, pretrain=4), tiny_site_files)
    for first, second in zip(rows, alone.rows("rounds.jsonl"), strict=False):
        assert first["losses"] == second["losses"]
    refused = run.audited("update-refused")
    assert [(facts["site"], facts["round"], facts["code"]) for facts in refused] == [
        ("site-2", number + 1, row["failed"]["site-2"]) for number, row in enumerate(rows[:4])
    ]
    assert all(facts["site_audit_head"] == HEAD for facts in [*refused, *run.audited("update-accepted")])
    assert not list(run.directory.state.parent.glob("spool*"))


def test_the_audit_log_attests_what_was_accepted(alone: Any) -> None:
    updates = [
        (request.metadata.group_id, reply)
        for request, reply in zip(alone.grid.requests, alone.grid.replies, strict=True)
        if request.metadata.message_type == "train"
    ]
    accepted = alone.audited("update-accepted")
    assert len(accepted) == len(updates) == 6
    for facts, (group, reply) in zip(accepted, updates, strict=True):
        assert f"{facts['phase']}-{facts['round']}-{facts['attempt']}" == group
        assert facts["digest"] == digest_arrays(read_arrays(reply.content))
        assert facts["norm"] > 0 and facts["weight"] == 8 and facts["site"] == "site-0"
    [joined] = alone.audited("site-joined")
    assert (joined["site"], joined["node"]) == ("site-0", "1000")
    checkpoints = alone.audited("checkpoint")
    assert len({facts["latest"] for facts in checkpoints}) == 7
    assert {facts["split"] for facts in alone.audited("evaluation")} == {"validation", "test"}
    assert {facts["file"] for facts in alone.audited("model-published")} == {
        "pretrain.safetensors",
        "enhance.safetensors",
        "cooperate.safetensors",
        "best.safetensors",
    }


def test_a_site_that_is_away_for_a_round_is_taken_again(
    assemble: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = shorten(quick_experiment, pretrain=3)

    def come_and_go(request: Message, reply: Message) -> Message:
        if request.metadata.group_id == "pretrain-1-0" and request.metadata.dst_node_id == 1001:
            run.grid.offline.add(1001)
        if request.metadata.group_id == "pretrain-2-0":
            run.grid.offline.clear()
        return reply

    run = assemble(experiment, tiny_site_files, come_and_go)
    run.start()
    rows = run.rows("rounds.jsonl")
    assert [list(row["sites"]) for row in rows] == [["site-0", "site-1"], ["site-0"], ["site-0", "site-1"]]
    assert [row["absent"] for row in rows] == [[], ["site-1"], []]
    assert len(run.audited("site-joined")) == 2


def test_too_few_online_sites_are_waited_for_and_then_not_set_to_work(
    assemble: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = with_federation(
        shorten(quick_experiment, pretrain=2), minimum_sites=2, wait_for_sites_s=0.3, attempts=2
    )

    def leave(request: Message, reply: Message) -> Message:
        if request.metadata.group_id == "pretrain-1-0" and request.metadata.dst_node_id == 1001:
            run.grid.offline.add(1001)
        return reply

    run = assemble(experiment, tiny_site_files, leave)
    with pytest.raises(QuorumError, match="0 of 2 valid updates in pretrain round 2"):
        run.start()
    rows = run.rows("rounds.jsonl")
    assert [(row["round"], row["attempt"], row["counted"]) for row in rows] == [
        (1, 0, True),
        (2, 0, False),
        (2, 1, False),
    ]
    assert [row["absent"] for row in rows[1:]] == [["site-1"]] * 2
    assert not any(request.metadata.group_id.startswith("pretrain-2") for request in run.grid.requests)
    assert [facts["attempt"] for facts in run.audited("round-not-counted")] == [0, 1]
    run.grid.offline.clear()
    run.start(resume=True)
    assert [row["round"] for row in run.rows("rounds.jsonl")] == [1, 2]


def test_pauses_between_attempts_grow_threefold(
    assemble: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = with_federation(
        shorten(quick_experiment, pretrain=1), minimum_sites=2, attempts=4, retry_pause_s=5.0
    )

    def spoil_second(request: Message, reply: Message) -> Message:
        bad = request.metadata.message_type == "train" and request.metadata.dst_node_id == 1001
        return spoil(reply, "nan") if bad else reply

    slept: list[float] = []
    monkeypatch.setattr("server.rounds.time.sleep", slept.append)
    run = assemble(experiment, tiny_site_files, spoil_second)
    with pytest.raises(QuorumError, match=r"site-1: array-not-finite"):
        run.start()
    assert [pause for pause in slept if pause >= 1] == [5.0, 15.0, 45.0]


def test_pauses_between_attempts_do_not_grow_for_ever() -> None:
    assert [pause_before(attempt, 5.0) for attempt in (4, 5, 6, 20)] == [135.0, 405.0, 600.0, 600.0]
    assert [pause_before(attempt, 900.0) for attempt in (1, 2, 20)] == [900.0] * 3


def test_an_unsteady_superlink_changes_nothing(
    assemble: Run, federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = shorten(quick_experiment, pretrain=2)
    run = assemble(experiment, tiny_site_files[:1])
    calls = {"get_node_ids": 0, "push_messages": 0, "pull_messages": 0}

    def unsteady(name: str) -> Callable[..., Iterable[Any]]:
        original = getattr(run.grid, name)

        def call(*arguments: Any) -> Iterable[Any]:
            calls[name] += 1
            if calls[name] % 2:
                raise ConnectionError("502")
            return original(*arguments)  # type: ignore[no-any-return]

        return call

    for name in calls:
        setattr(run.grid, name, unsteady(name))
    run.start()
    straight = federate(experiment, tiny_site_files[:1])
    for name, value in straight.model("pretrain").items():
        assert torch.equal(value, run.model("pretrain")[name])
    assert all(count >= 4 for count in calls.values())
