"""Whole runs whose messages are compressed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Message

from hqgnet.compression_config import CompressionConfig
from hqgnet.config import Experiment
from hqgnet.exchange.compression.message import COMPRESSED
from hqgnet.exchange.update import ARRAYS
from server.wire import write_arrays

Run = Callable[..., Any]


def compressed(experiment: Experiment, strategy: str = "fedavg", **keys: object) -> Experiment:
    changes = {"compression": CompressionConfig.model_validate(keys), "strategy": strategy}
    return experiment.model_copy(update={"federation": experiment.federation.model_copy(update=changes)})


def forms(run: Any, message_type: str) -> set[tuple[str, ...]]:
    """Names of the arrays in requests and in replies."""
    return {
        tuple(message.content.array_records[ARRAYS])
        for message in [*run.grid.requests, *run.grid.replies]
        if message.metadata.message_type == message_type and ARRAYS in message.content.array_records
    }


def moved(run: Any, other: Any, name: str) -> float:
    first, second = run.model(name), other.model(name)
    return max(
        float((first[key].double() - second[key].double()).abs().max())
        for key in first
        if first[key].ndim > 1
    )


def test_zstd_alone_changes_no_bit_of_the_result(
    reference: Any, federate: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    run = federate(compressed(quick_experiment, zstd=True), tiny_site_files)
    assert forms(run, "train") == {(COMPRESSED,)}
    assert forms(reference, "train") == {("packed",)}
    for name in ("pretrain", "enhance", "cooperate"):
        ours, theirs = run.model(name), reference.model(name)
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    for kind in ("bytes_up", "bytes_down"):
        rows = zip(run.rows("rounds.jsonl"), reference.rows("rounds.jsonl"), strict=True)
        assert all(ours[kind] < theirs[kind] for ours, theirs in rows)


@pytest.mark.parametrize(
    ("keys", "share_up", "share_down", "rounds"),
    [
        ({"up": "int8"}, 0.45, 1.0, {"pretrain": 2}),
        (
            {"up": "int8", "down": "float16", "zstd": True},
            0.45,
            0.65,
            {"pretrain": 2, "enhance": 2, "cooperate": 2},
        ),
        ({"up": "topk", "topk_share": 0.1, "down": "bfloat16"}, 0.35, 0.65, {"pretrain": 2}),
    ],
)
def test_a_compressed_run_trains_and_both_audits_agree(
    keys: dict[str, object],
    share_up: float,
    share_down: float,
    rounds: dict[str, int],
    reference: Any,
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> None:
    run = federate(compressed(shorten(quick_experiment, **rounds), **keys), tiny_site_files)
    rows, plain = run.rows("rounds.jsonl"), reference.rows("rounds.jsonl")
    assert len(rows) == sum(rounds.values())
    assert all(row["counted"] and len(row["sites"]) == 2 and not row["failed"] for row in rows)
    for ours, theirs in zip(rows, plain, strict=False):
        # A network of this size is for a large part names and small arrays.
        assert ours["bytes_up"] < share_up * theirs["bytes_up"]
        assert ours["bytes_down"] <= share_down * theirs["bytes_down"]
    # Two steps of Adam's are 2e-4 a weight: the two runs are hardly further apart than each of them went.
    assert 0 < moved(run, reference, "pretrain") < 5e-4
    accepted = {
        (facts["site"], facts["phase"], facts["round"]): facts for facts in run.audited("update-accepted")
    }
    assert len(accepted) == 2 * len(rows)
    for number, file in enumerate(run.files):
        entries = map(json.loads, (file.parent / "work/audit.jsonl").read_text().splitlines())
        left = [e["facts"] for e in entries if e["event"] == "left" and e["facts"]["kind"] == "train"]
        assert len(left) == len(rows)
        for facts in left:
            assert facts["digest"] == accepted[f"site-{number}", facts["phase"], facts["round"]]["digest"]
    assert all(not list(file.parent.glob("work/*/state")) for file in run.files)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("strategy", "keys"),
    [
        ("fedavg", {"up": "topk", "topk_share": 0.05, "down": "float16"}),
        ("scaffold", {"up": "int8", "zstd": True}),
        ("fedadam", {"up": "int8", "down": "bfloat16"}),
    ],
)
def test_a_resumed_run_ends_where_the_whole_one_does(
    strategy: str,
    keys: dict[str, object],
    assemble: Run,
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> None:
    class Stopped(BaseException):
        pass

    def stop(request: Message, reply: Message) -> Message:
        # The site has answered, and keeps what it left out of this answer: the round will be repeated.
        if request.metadata.group_id.startswith("pretrain-3"):
            raise Stopped
        return reply

    experiment = compressed(shorten(quick_experiment, pretrain=4), strategy, **keys)
    whole = federate(experiment, tiny_site_files)
    broken = assemble(experiment, tiny_site_files, stop)
    with pytest.raises(Stopped):
        broken.start()
    kept = list(broken.files[0].parent.glob("work/*/state/left-out/*"))
    assert len(kept) == 3
    broken.grid._tamper = lambda request, reply: reply
    broken.start(resume=True)
    first, second = whole.model("pretrain"), broken.model("pretrain")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def _plain(reply: Message) -> ArrayRecord:
    return write_arrays({"task.x": np.zeros(3, np.float32)})


def _cut(reply: Message) -> ArrayRecord:
    packed = reply.content.array_records[ARRAYS][COMPRESSED].numpy()
    return ArrayRecord({COMPRESSED: Array(packed[:-1])})


def _renamed(reply: Message) -> ArrayRecord:
    packed = reply.content.array_records[ARRAYS][COMPRESSED].numpy().tobytes()
    other = packed.replace(b'"name":"cue_extractor', b'"name":"cue_extractoR', 1)
    return ArrayRecord({COMPRESSED: Array(np.frombuffer(other, np.uint8))})


@pytest.mark.parametrize(
    ("tamper", "code"),
    [(_plain, "reply-malformed"), (_cut, "reply-malformed"), (_renamed, "array-unknown")],
)
def test_a_malformed_update_is_left_out(
    tamper: Callable[[Message], ArrayRecord],
    code: str,
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> None:
    def spoil(request: Message, reply: Message) -> Message:
        if request.metadata.message_type == "train" and request.metadata.dst_node_id == 1001:
            reply.content[ARRAYS] = tamper(reply)
        return reply

    experiment = compressed(shorten(quick_experiment, pretrain=1), up="int8")
    [row] = federate(experiment, tiny_site_files, spoil).rows("rounds.jsonl")
    assert row["failed"] == {"site-1": code}
    assert row["counted"] and set(row["sites"]) == {"site-0"}


def test_what_is_judged_is_what_is_published(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = compressed(shorten(quick_experiment, enhance=1), down="bfloat16", up="int8")
    run = federate(experiment, tiny_site_files[:1])
    assert forms(run, "evaluate") == {("packed",)}
