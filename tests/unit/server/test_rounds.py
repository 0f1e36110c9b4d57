"""The promises of a federation, kept by whole runs without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict

from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError, QuorumError
from hqgnet.exchange.update import ARRAYS, HEADER, JSON_KEY
from hqgnet.model_file import load_model
from hqgnet.training.central import train_centrally
from hqgnet.training.local import LocalTrainer
from server import wire

Run = Callable[..., Any]
State = dict[str, torch.Tensor]
CPU = torch.device("cpu")


def with_federation(experiment: Experiment, **changes: object) -> Experiment:
    return experiment.model_copy(update={"federation": experiment.federation.model_copy(update=changes)})


def without_guidance(state: State) -> State:
    return {name: value for name, value in state.items() if name != "guidance"}


def assert_equal(first: State, second: State, tolerance: float) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=tolerance, msg=name)


def test_one_site_equals_training_without_a_federation(
    alone: Any, quick_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    federated = without_guidance(alone.model())
    central = train_centrally(quick_experiment, tiny_sites[:1], CPU).state()
    assert_equal(federated, {name: central[name] for name in federated}, 1e-6)
    initial = LocalTrainer(quick_experiment, tiny_sites[:1], CPU).state()
    moved = {name.split(".")[0] for name in federated if not torch.equal(federated[name], initial[name])}
    assert moved == {"cue_extractor", "generator", "task"}


@pytest.mark.parametrize("begins_from", ["published", "latest"])
def test_so_it_does_when_the_published_model_is_an_average(
    begins_from: str,
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
    tiny_sites: list[SiteData],
) -> None:
    changes = {"server_average": 0.5, "phase_begins_from": begins_from}
    experiment = with_federation(shorten(quick_experiment, pretrain=3, enhance=2), **changes)
    federated = without_guidance(federate(experiment, tiny_site_files[:1]).model("enhance"))
    central = train_centrally(experiment, tiny_sites[:1], CPU).state()
    assert_equal(federated, {name: central[name] for name in federated}, 1e-6)


def test_two_equal_sites_equal_one(
    alone: Any, federate: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    two = federate(quick_experiment, [tiny_site_files[0]] * 2)
    assert_equal(alone.model(), two.model(), 1e-6)


def test_the_order_of_replies_does_not_matter(
    reference: Any, federate: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    again = federate(quick_experiment, tiny_site_files, backwards=True)
    assert_equal(reference.model("best"), again.model("best"), 0.0)
    tables = [(run.directory.root / "table.json").read_bytes() for run in (reference, again)]
    assert tables[0] == tables[1]
    assert [row["losses"] for row in reference.rows("rounds.jsonl")] == [
        row["losses"] for row in again.rows("rounds.jsonl")
    ]


def test_another_seed_gives_another_model(
    reference: Any, federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    other = federate(
        shorten(quick_experiment, pretrain=1).model_copy(update={"seed": 4}), tiny_site_files
    ).model("pretrain")
    first = reference.model("pretrain")
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_nothing_private_is_on_the_wire(reference: Any) -> None:
    allowed = {
        "pretrain": {"cue_extractor", "autoencoder_decoder"},
        "enhance": {"cue_extractor", "generator"},
        "cooperate": {"cue_extractor", "generator", "task"},
    }
    sent: dict[str, set[str]] = {}
    for request, reply in zip(reference.grid.requests, reference.grid.replies, strict=True):
        phase = request.metadata.group_id.split("-")[0]
        for name, record in reply.content.array_records.items():
            names = wire.read_arrays(reply.content) if name == ARRAYS else record
            groups = {key.split(".")[0] for key in names}
            assert not any("exp_avg" in key for key in names)
            if request.metadata.message_type == "train":
                assert name == ARRAYS
                sent.setdefault(phase, set()).update(groups)
            else:
                assert (name, groups) == ("guidance", {"guidance"})
                assert record["guidance"].shape == (64,)
        texts = str(reply.content.config_records)
        assert not any(str(file.parent) in texts or ".png" in texts for file in reference.files)
    assert sent == allowed


def test_private_state_is_deleted_and_pictures_stay(reference: Any) -> None:
    for file in reference.files:
        folder = file.parent / "work" / reference.run_id
        assert {entry.name for entry in folder.iterdir()} == {"pictures"}
        assert list((folder / "pictures").glob("*.png"))


def test_the_run_directory_holds_the_results(reference: Any) -> None:
    models = {file.name for file in reference.directory.models.iterdir()}
    assert models == {f"{name}.safetensors" for name in ("pretrain", "enhance", "cooperate", "best")}
    rounds = reference.rows("rounds.jsonl")
    assert [row["global_round"] for row in rounds] == [1, 2, 3, 4, 5, 6]
    assert all(set(row["sites"]) == {"site-0", "site-1"} and not row["failed"] for row in rounds)
    final = {
        row.get("site", row["kind"]): row for row in reference.rows("metrics.jsonl") if row["split"] == "test"
    }
    assert set(final) == {"site-0", "site-1", "site-mean", "pooled"}
    mean = (final["site-0"]["psnr_enhanced"] + final["site-1"]["psnr_enhanced"]) / 2
    assert final["site-mean"]["psnr_enhanced"] == pytest.approx(mean)
    assert final["site-mean"]["sites_behind"]["psnr_enhanced"] == 2
    assert "site mean" in (reference.directory.root / "table.txt").read_text()


def test_the_best_model_is_that_of_the_highest_validation_mean(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    every = quick_experiment.evaluation.model_copy(update={"every": 1})
    experiment = shorten(quick_experiment, enhance=3).model_copy(update={"evaluation": every})
    run = federate(experiment, tiny_site_files)
    scores = {
        row["round"]: row["psnr_enhanced"]
        for row in run.rows("metrics.jsonl")
        if row["kind"] == "site-mean" and row["split"] == "validation"
    }
    best = load_model(run.directory.models / "best.safetensors")
    assert len(scores) == 3
    assert best.details["round"] == max(scores, key=lambda number: scores[number])
    assert best.guidance is not None
    assert not best.details["task_trained"]


def spoil_second_site(request: Message, reply: Message) -> Message:
    if request.metadata.message_type == "train" and request.metadata.dst_node_id == 1001:
        arrays = dict(wire.read_arrays(reply.content))
        name = next(name for name, array in arrays.items() if array.dtype == np.float32)
        arrays[name] = np.full(arrays[name].shape, np.nan, np.float32)
        reply.content[ARRAYS] = wire.write_arrays(arrays)
    return reply


def test_a_site_that_sends_nan_is_left_out_and_named(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = shorten(quick_experiment, pretrain=2)
    with_bad = federate(experiment, tiny_site_files, spoil_second_site)
    alone = federate(experiment, tiny_site_files[:1])
    assert [row["failed"] for row in with_bad.rows("rounds.jsonl")] == [{"site-1": "array-not-finite"}] * 2
    assert_equal(with_bad.model("best"), alone.model("best"), 0.0)


def test_without_quorum_the_run_fails_after_retries(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = with_federation(shorten(quick_experiment, pretrain=1), minimum_sites=2)
    with pytest.raises(QuorumError, match=r"1 of 2 valid updates in pretrain round 1 \(site-1: array-not"):
        federate(experiment, tiny_site_files, spoil_second_site)


def test_an_old_reply_is_not_counted_again(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    kept: list[RecordDict] = []

    def replay(request: Message, reply: Message) -> Message:
        if request.metadata.message_type != "train" or request.metadata.dst_node_id != 1001:
            return reply
        kept.append(reply.content)
        return Message(kept[0], reply_to=request)

    rounds = federate(shorten(quick_experiment, pretrain=2), tiny_site_files, replay).rows("rounds.jsonl")
    assert [row["failed"] for row in rounds] == [{}, {"site-1": "reply-of-another-round"}]


def test_a_round_repeated_twice_continues_from_where_it_began(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    def spoil_twice(request: Message, reply: Message) -> Message:
        if request.metadata.group_id in ("enhance-2-0", "enhance-2-1"):
            return Message(RecordDict({HEADER: ConfigRecord({JSON_KEY: "{}"})}), reply_to=request)
        return reply

    experiment = shorten(quick_experiment, enhance=2)
    repeated = federate(experiment, tiny_site_files[:1], spoil_twice)
    straight = federate(experiment, tiny_site_files[:1])
    rows = repeated.rows("rounds.jsonl")
    assert [(row["attempt"], row["counted"]) for row in rows] == [
        (0, True),
        (0, False),
        (1, False),
        (2, True),
    ]
    assert_equal(repeated.model("enhance"), straight.model("enhance"), 0.0)


def test_a_site_without_masks_neither_gets_nor_sends_the_downstream_network(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    def groups(message: Message) -> set[str]:
        return {key.split(".")[0] for key in wire.read_arrays(message.content)}

    experiment = shorten(quick_experiment, cooperate=1)
    run = federate(experiment, tiny_site_files, unlabelled={1})
    exchanged = {
        request.metadata.dst_node_id: (groups(request), groups(reply))
        for request, reply in zip(run.grid.requests, run.grid.replies, strict=True)
        if ARRAYS in reply.content.array_records
    }
    enhancer = {"cue_extractor", "generator"}
    assert exchanged == {1000: (enhancer | {"task"}, enhancer | {"task"}), 1001: (enhancer, enhancer)}
    [row] = run.rows("rounds.jsonl")
    assert "segmentation" in row["sites"]["site-0"]["losses"]
    assert "segmentation" not in row["sites"]["site-1"]["losses"]


def test_sites_without_masks_may_sit_out_only_if_enough_remain(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = with_federation(shorten(quick_experiment, cooperate=1), unlabelled_sites="skip")
    run = federate(experiment, tiny_site_files, unlabelled={1})
    assert [set(row["sites"]) for row in run.rows("rounds.jsonl")] == [{"site-0"}]
    with pytest.raises(ConfigurationError, match="1 sites have masks, 2 are wanted"):
        federate(with_federation(experiment, minimum_sites=2), tiny_site_files, unlabelled={1})
