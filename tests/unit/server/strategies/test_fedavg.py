"""Averaging, and what strategies do that ask for nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays
from server.strategies import make_strategy

Store = Callable[..., Any]


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedbn"])
def test_the_weighted_mean_becomes_the_model(name: str, store: Store) -> None:
    strategy = make_strategy(FederationConfig(strategy=name), {"a"})  # type: ignore[arg-type]
    given: list[Arrays] = [{"a": np.array([value], np.float32)} for value in (1.0, 5.0)]
    stepped = strategy.step({"a": np.zeros(1, np.float32)}, strategy.combine(store(given, [3, 1])))
    assert stepped["a"].tolist() == [2.0]
    assert strategy.beside(stepped) == {}


def test_a_strategy_without_a_state_refuses_one() -> None:
    fedavg = make_strategy(FederationConfig(), ())
    assert fedavg.state() == {}
    fedavg.load_state({})
    with pytest.raises(ValueError, match="FedAvg has no state"):
        fedavg.load_state({"momentum": np.zeros(1, np.float32)})
