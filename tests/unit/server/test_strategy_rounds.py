"""Every strategy in whole runs of the three phases, with sites that differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from flwr.app import Message
from safetensors.torch import load_file

from hqgnet.config import Experiment
from hqgnet.data.site_policy import GroupName
from hqgnet.exchange.arrays import distance
from hqgnet.exchange.control import controlled
from hqgnet.exchange.update import ARRAYS, JSON_KEY, REQUEST
from hqgnet.model_file import load_model
from server import wire
from server.strategies import STRATEGIES

Run = Callable[..., Any]


def with_federation(experiment: Experiment, **changes: object) -> Experiment:
    return experiment.model_copy(update={"federation": experiment.federation.model_copy(update=changes)})


def settings(strategy: str) -> dict[str, object]:
    needed: dict[str, dict[str, object]] = {
        "fedbn": {"share_normalization": False},
        "fedper": {"local_groups": ("generator",)},
        "krum": {"faulty_sites": 0},
        "multi_krum": {"faulty_sites": 0},
    }
    return {"strategy": strategy, "minimum_sites": 3, **needed.get(strategy, {})}


def spoiled(reply: Message) -> Message:
    """A reply that does not count."""
    arrays = wire.read_arrays(reply.content)
    reply.content[ARRAYS] = wire.write_arrays(
        {name: array * np.float32("nan") for name, array in arrays.items()}
    )
    return reply


def names_on_the_wire(run: Any, message_type: str = "train") -> set[str]:
    return {
        name
        for message in [*run.grid.requests, *run.grid.replies]
        if ARRAYS in message.content.array_records
        for name in wire.read_arrays(message.content)
        if message.metadata.message_type == message_type
    }


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_three_phases_with_a_site_without_masks(
    strategy: str, assemble: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = shorten(quick_experiment, pretrain=1, enhance=1, cooperate=1)
    experiment = with_federation(experiment, **settings(strategy), share_discriminator=strategy != "fedper")
    run = assemble(experiment, [*tiny_site_files, tiny_site_files[0]], unlabelled={1})
    for file in run.files:
        site = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump(site | {"policy": {"groups": list(get_args(GroupName))}}))
    run.start()
    rows = run.rows("rounds.jsonl")
    assert [row["phase"] for row in rows] == ["pretrain", "enhance", "cooperate"]
    assert all(row["counted"] and len(row["sites"]) == 3 for row in rows)
    first, last = run.model("pretrain"), run.model("cooperate")
    assert all(torch.isfinite(value).all() for value in last.values())
    moved = {
        name.split(".")[0] for name in last if name in first and not torch.equal(first[name], last[name])
    }
    generator = set() if strategy == "fedper" else {"generator"}
    assert moved >= {"cue_extractor", "task"} | generator
    groups = {name.split(".")[0] for name in names_on_the_wire(run)}
    assert ("discriminator" in groups) == (strategy != "fedper")
    assert ("generator" in groups) == (strategy != "fedper")
    assert any(controlled(name) for name in names_on_the_wire(run)) == (strategy == "scaffold")


@pytest.mark.parametrize("strategy", ["fedadam", "scaffold"])
def test_a_resumed_run_ends_where_the_whole_one_does(
    strategy: str,
    assemble: Run,
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> None:
    class Stopped(BaseException):
        pass

    def stop(request: Message, reply: Message) -> Message:
        if request.metadata.group_id.startswith("pretrain-3"):
            raise Stopped
        return reply

    experiment = with_federation(
        shorten(quick_experiment, pretrain=3), strategy=strategy, server_learning_rate=0.1
    )
    whole = federate(experiment, tiny_site_files)
    broken = assemble(experiment, tiny_site_files, stop)
    with pytest.raises(Stopped):
        broken.start()
    broken.grid._tamper = lambda request, reply: reply
    broken.start(resume=True)
    first, second = whole.model("pretrain"), broken.model("pretrain")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("strategy", ["scaffold", "fedavg"])
def test_a_site_is_told_which_of_its_updates_counted_even_after_a_restart(
    strategy: str, assemble: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    class Stopped(BaseException):
        pass

    stops = {"pretrain-5-0"}

    def tamper(request: Message, reply: Message) -> Message | None:
        place = request.metadata.group_id
        if place in stops:
            stops.remove(place)
            raise Stopped
        late = request.metadata.dst_node_id == 1001 and place in ("pretrain-1-0", "pretrain-4-0")
        return spoiled(reply) if late else reply

    experiment = shorten(quick_experiment, pretrain=6, enhance=2)
    run = assemble(with_federation(experiment, strategy=strategy, minimum_sites=1), tiny_site_files, tamper)
    with pytest.raises(Stopped):
        run.start()
    run.start(resume=True)
    told: dict[int, dict[str, int]] = {1000: {}, 1001: {}}
    for message in run.grid.requests:
        if message.metadata.message_type == "train":
            request = json.loads(str(message.content.config_records[REQUEST][JSON_KEY]))
            told[message.metadata.dst_node_id][message.metadata.group_id] = request["counted_step"]
    places = [*(f"pretrain-{number}-0" for number in range(1, 7)), "enhance-1-0", "enhance-2-0"]
    assert [told[1000][place] for place in places] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert [told[1001][place] for place in places] == [0, 0, 2, 3, 3, 5, 0, 1]


def test_control_variates_go_on_from_the_update_that_counted(
    assemble: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    """An update that is lost on the way leaves the sum of the changes what the server has."""

    def run(lost: int) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = []

        def look(request: Message, reply: Message) -> Message:
            if request.metadata.dst_node_id == 1001 and request.metadata.message_type == "train":
                sent, came = wire.read_arrays(request.content), wire.read_arrays(reply.content)
                own = load_file(max(federation.files[1].parent.glob("work/*/state/*.safetensors")))
                controls = [name for name in came if controlled(name)]
                changes.append({name: (came[name] - sent[name], own) for name in controls})
                if len(changes) == lost:
                    return spoiled(reply)
            return reply

        experiment = with_federation(
            shorten(quick_experiment, pretrain=3), strategy="scaffold", minimum_sites=1
        )
        federation = assemble(experiment, tiny_site_files, look)
        federation.start()
        return changes

    changes = run(lost=2)
    for name in changes[0]:
        (first, _), (_, _), (third, own) = (one[name] for one in changes)
        kept = own[f"control.{controlled(name)}"].numpy()
        np.testing.assert_allclose(first + third, kept, rtol=1e-3, atol=1e-5)


def test_proximal_sites_stay_closer_to_the_global_model(
    federate: Run, quick_experiment: Experiment, tiny_site_files: list[Path], shorten: Run
) -> None:
    experiment = shorten(quick_experiment, pretrain=1)
    phases = experiment.phases.model_copy(
        update={"pretrain": experiment.phases.pretrain.model_copy(update={"steps": 4})}
    )
    experiment = experiment.model_copy(update={"phases": phases})
    moved = []
    for mu in (1e-9, 50.0):
        run = federate(with_federation(experiment, strategy="fedprox", proximal_mu=mu), tiny_site_files[:1])
        [sent], [came] = (
            [wire.read_arrays(m.content) for m in messages if m.metadata.message_type == "train"]
            for messages in (run.grid.requests, run.grid.replies)
        )
        # Statistics of normalisation layers are no matter of gradients.
        weights = {name: array for name, array in came.items() if name.endswith("weight")}
        moved.append(distance(weights, sent))
    assert moved[1] < 0.9 * moved[0]


def test_a_local_group_stays_and_each_site_keeps_its_own_model(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    experiment = with_federation(shorten(quick_experiment, enhance=2), local_groups=("generator",))
    run = federate(experiment, tiny_site_files)
    for kind in ("train", "evaluate"):
        assert {name.split(".")[0] for name in names_on_the_wire(run, kind)} == {"cue_extractor"}
    own = [
        load_model(file.parent / "work" / run.run_id / "model.safetensors").networks.state_dict()
        for file in run.files
    ]
    names = [name for name in own[0] if name.endswith("weight")]
    assert any(not torch.equal(own[0][n], own[1][n]) for n in names if n.startswith("generator."))
    assert all(torch.equal(own[0][n], own[1][n]) for n in names if n.startswith("cue_extractor."))


@pytest.mark.parametrize(
    ("weighting", "cap", "weights"),
    [("lq_images", None, 8), ("all_images", None, 16), ("equal", None, 1), ("capped_images", 5, 5)],
)
def test_weights(
    weighting: str,
    cap: int | None,
    weights: int,
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> None:
    experiment = with_federation(shorten(quick_experiment, pretrain=1), weighting=weighting, weight_cap=cap)
    [row] = federate(experiment, tiny_site_files).rows("rounds.jsonl")
    assert {site["weight"] for site in row["sites"].values()} == {weights}


def test_control_variates_are_private_state_of_the_site(
    assemble: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    kept: list[set[str]] = []

    def look(request: Message, reply: Message) -> Message:
        if request.metadata.group_id == "pretrain-2-0":
            work = run.files[request.metadata.dst_node_id - 1000].parent / "work"
            [file] = work.glob("*/state/pretrain-00000002.safetensors")
            kept.append({name for name in load_file(file) if name.startswith("control.")})
            arrays = wire.read_arrays(reply.content)
            assert any(np.any(arrays[name]) for name in arrays if controlled(name))
        return reply

    experiment = with_federation(shorten(quick_experiment, pretrain=2), strategy="scaffold")
    run = assemble(experiment, tiny_site_files, look)
    run.start()
    assert len(kept) == 2 and kept[0] == kept[1]
    assert any(name.startswith("control.cue_extractor") for name in kept[0])
