"""Server optimisers against Flower's own, and what is ours alone: buffers, parameters not sent, restarts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedYogi

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays
from server.strategies import make_strategy
from server.strategies.base import Strategy

OPTIMISERS = ["fedavgm", "fedadam", "fedyogi"]
SETTINGS: dict[str, Any] = {
    "server_learning_rate": 0.03,
    "server_momentum": 0.8,
    "server_second_moment": 0.95,
    "server_adaptivity": 2e-3,
}


def rounds(count: int = 4) -> tuple[Arrays, list[Arrays]]:
    generator = np.random.default_rng(0)
    start: Arrays = {"a": np.asarray(generator.standard_normal((3, 5)), np.float32)}
    means: list[Arrays] = [
        {"a": start["a"] + np.float32(0.1) * np.asarray(generator.standard_normal((3, 5)), np.float32)}
        for _ in range(count)
    ]
    return start, means


def ours(name: str) -> Strategy:
    return make_strategy(FederationConfig(strategy=name, **SETTINGS), {"a"})  # type: ignore[arg-type]


def flowers(name: str) -> Any:
    if name == "fedavgm":
        return FedAvgM(server_learning_rate=0.03, server_momentum=0.8)
    kind = {"fedadam": FedAdam, "fedyogi": FedYogi}[name]
    return kind(eta=0.03, beta_1=0.8, beta_2=0.95, tau=2e-3)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_are_flowers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start, means = rounds()
    theirs, strategy = flowers(name), ours(name)
    current = dict(start)
    record = ArrayRecord({"a": FlowerArray(np.array(start["a"]))})
    for number, mean in enumerate(means, start=1):
        averaged = ArrayRecord({"a": FlowerArray(np.array(mean["a"]))})
        # Only the averaging before the optimiser is put in its place: its input.
        monkeypatch.setattr(FedAvg, "aggregate_train", lambda *_, r=averaged: (r, MetricRecord()))
        monkeypatch.setattr(FedAvg, "configure_train", lambda *_: [])
        theirs.configure_train(number, record, ConfigRecord(), None)
        record, _ = theirs.aggregate_train(number, [])
        current = strategy.step(current, mean)
        np.testing.assert_allclose(current["a"], record["a"].numpy(), rtol=1e-6, atol=1e-7)
        assert current["a"].dtype == np.float32


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restart_does_not_change_the_steps(name: str) -> None:
    current, means = rounds()
    strategy = ours(name)
    for mean in means[:2]:
        current = strategy.step(current, mean)
    resumed = ours(name)
    resumed.load_state({key: np.array(array) for key, array in strategy.state().items()})
    again = dict(current)
    for mean in means[2:]:
        current, again = strategy.step(current, mean), resumed.step(again, mean)
    assert current["a"].tobytes() == again["a"].tobytes()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_buffers_take_the_mean(name: str) -> None:
    current: Arrays = {
        "a": np.zeros(2, np.float32),
        "running_var": np.full(2, 0.5, np.float32),
        "seen": np.array(3, np.int64),
    }
    mean: Arrays = {
        "a": np.ones(2, np.float32),
        "running_var": np.full(2, 0.1, np.float32),
        "seen": np.array(8, np.int64),
    }
    stepped = ours(name).step(current, mean)
    assert stepped["running_var"] is mean["running_var"] and stepped["seen"] is mean["seen"]
    assert not np.array_equal(stepped["a"], mean["a"])


def test_a_parameter_that_no_site_sent_is_left_alone() -> None:
    strategy = make_strategy(FederationConfig(strategy="fedavgm"), {"a", "task"})
    current: Arrays = {"a": np.zeros(1, np.float32), "task": np.ones(1, np.float32)}
    assert set(strategy.step(current, {"a": np.ones(1, np.float32)})) == {"a"}
    assert set(strategy.state()) == {"momentum.a", "rounds"}


def test_the_default_of_fedavgm_begins_as_fedavg() -> None:
    start, means = rounds(1)
    stepped = make_strategy(FederationConfig(strategy="fedavgm"), {"a"}).step(start, means[0])
    np.testing.assert_allclose(stepped["a"], means[0]["a"], rtol=0, atol=1e-6)
