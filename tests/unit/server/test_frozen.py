"""What nobody trains in a phase travels once to each site, and again to a site that has lost it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message
from safetensors.torch import save_file

from client.frozen import FILE
from hqgnet.compression_config import CompressionConfig
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.exchange.packing import PACKED
from hqgnet.exchange.update import ARRAYS, FROZEN
from hqgnet.networks import networks_of
from hqgnet.training.central import train_centrally
from server.frozen import FrozenParameters

Run = Callable[..., Any]
CPU = torch.device("cpu")


@pytest.fixture
def experiment(shorten: Run, quick_experiment: Experiment) -> Experiment:
    """The downstream network alone is trained in phase cooperate."""
    downstream = quick_experiment.downstream.model_copy(update={"enhancer_trained_in_cooperate": False})
    experiment = shorten(quick_experiment, enhance=1, cooperate=3)
    return experiment.model_copy(update={"downstream": downstream})  # type: ignore[no-any-return]


def sent(run: Any, phase: str) -> list[tuple[str, int, bool]]:
    """Round, site's number and whether frozen parameters went with it, of each request to train."""
    return [
        (message.metadata.group_id, message.metadata.dst_node_id - 1000, FROZEN in message.content)
        for message in run.grid.requests
        if message.metadata.message_type == "train" and message.metadata.group_id.startswith(phase)
    ]


def test_they_travel_in_the_first_round_of_a_phase(
    experiment: Experiment, federate: Run, tiny_site_files: list[Path], tiny_sites: list[SiteData]
) -> None:
    run = federate(experiment, tiny_site_files[:1])
    assert sent(run, "enhance") == [("enhance-1-0", 0, False)]
    assert sent(run, "cooperate") == [
        ("cooperate-1-0", 0, True),
        ("cooperate-2-0", 0, False),
        ("cooperate-3-0", 0, False),
    ]
    *_, first, second, third = [row["bytes_down"] for row in run.rows("rounds.jsonl")]
    assert second == third < first / 2
    central, federated = train_centrally(experiment, tiny_sites[:1], CPU).state(), run.model()
    for name in federated.keys() & central.keys():
        torch.testing.assert_close(federated[name], central[name], rtol=0, atol=1e-6, msg=name)


def test_a_site_that_has_lost_them_misses_a_round_and_gets_them_again(
    experiment: Experiment, assemble: Run, tiny_site_files: list[Path]
) -> None:
    def lose(request: Message, reply: Message) -> Message:
        if request.metadata.group_id == "cooperate-1-0" and request.metadata.dst_node_id == 1001:
            (file,) = run.files[1].parent.glob(f"work/*/state/{FILE}")
            file.unlink()
        return reply

    run = assemble(experiment, tiny_site_files, lose)
    run.start()
    failed = [row["failed"] for row in run.rows("rounds.jsonl") if row["phase"] == "cooperate"]
    assert failed == [{}, {"site-1": "frozen-missing"}, {}]
    assert [(node, frozen) for _, node, frozen in sent(run, "cooperate")] == [
        (0, True),
        (1, True),
        (0, False),
        (1, False),
        (0, False),
        (1, True),
    ]


def test_a_frozen_downstream_network_goes_to_the_sites_that_run_it(
    shorten: Run, quick_experiment: Experiment, federate: Run, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "task.safetensors"
    save_file(networks_of(quick_experiment, seed=8).task.state_dict(), file)
    roles = {"trained_in_cooperate": False, "weights": str(file)}
    downstream = quick_experiment.downstream.model_copy(update=roles)
    experiment = shorten(quick_experiment, cooperate=2).model_copy(update={"downstream": downstream})
    run = federate(experiment, tiny_site_files, unlabelled={1})
    assert [(node, frozen) for _, node, frozen in sent(run, "cooperate")] == [
        (0, True),
        (1, False),
        (0, False),
        (1, False),
    ]
    assert [row["failed"] for row in run.rows("rounds.jsonl")] == [{}] * 2


def test_what_is_compressed_does_not_touch_them(
    experiment: Experiment, federate: Run, tiny_site_files: list[Path]
) -> None:
    compression = CompressionConfig(up="int8", down="float16")
    federation = experiment.federation.model_copy(update={"compression": compression})
    run = federate(experiment.model_copy(update={"federation": federation}), tiny_site_files[:1])
    assert [frozen for *_, frozen in sent(run, "cooperate")] == [True, False, False]
    first = next(message for message in run.grid.requests if FROZEN in message.content)
    assert list(first.content.array_records[FROZEN]) == [PACKED]
    assert list(first.content.array_records[ARRAYS]) != [PACKED]
    assert [row["failed"] for row in run.rows("rounds.jsonl")] == [{}] * 4


def test_who_gets_them() -> None:
    frozen = FrozenParameters({"generator.w": np.ones(3, np.float32)})
    assert frozen.records(["a", "b"]).keys() == {"a", "b"}
    frozen.arrived("a")
    assert frozen.records(["a", "b"]).keys() == {"b"}
    frozen.arrived("b")
    assert frozen.records(["a", "b"]) == {}
    frozen.lost("a")
    assert frozen.records(["a", "b"]).keys() == {"a"}


def test_without_any_nothing_is_sent() -> None:
    nothing = FrozenParameters({})
    assert nothing.digest is None and nothing.records(["a"]) == {}
