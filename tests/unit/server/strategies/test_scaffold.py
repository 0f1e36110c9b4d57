"""The server's control variates, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.control import control_name
from server.strategies import make_strategy
from server.strategies.base import Strategy

Store = Callable[..., Any]
CONTROL = control_name("generator.w")


def scaffold() -> Strategy:
    return make_strategy(FederationConfig(strategy="scaffold"), {"generator.w"})


def update(value: float, control: float) -> Arrays:
    return {"generator.w": np.array([value], np.float32), CONTROL: np.array([control], np.float32)}


def test_variates_begin_at_zero_and_belong_to_trained_parameters() -> None:
    parameters: Arrays = {
        "generator.w": np.ones((2, 3), np.float32),
        "generator.mean": np.ones(3, np.float32),
    }
    beside = scaffold().beside(parameters)
    assert set(beside) == {CONTROL}
    assert beside[CONTROL].shape == (2, 3) and not beside[CONTROL].any()


def test_a_site_that_stays_away_keeps_its_part_in_the_variate(store: Store) -> None:
    strategy = scaffold()
    current: Arrays = {"generator.w": np.zeros(1, np.float32)}
    stepped = strategy.step(current, strategy.combine(store([update(1, 2), update(3, 4)])))
    assert {name: array.tolist() for name, array in stepped.items()} == {"generator.w": [2.0]}
    assert strategy.beside(current)[CONTROL].tolist() == [3.0]
    # One of the two: its change of 4 counts half.
    strategy.step(current, strategy.combine(store([update(1, 7)], known=["site-00"])))
    assert strategy.beside(current)[CONTROL].tolist() == [5.0]


def test_a_restart_keeps_them(store: Store) -> None:
    strategy, resumed = scaffold(), scaffold()
    current: Arrays = {"generator.w": np.zeros(1, np.float32)}
    strategy.step(current, strategy.combine(store([update(1, 2), update(3, 4)])))
    resumed.load_state({name: np.array(array) for name, array in strategy.state().items()})
    for one in (strategy, resumed):
        one.step(current, one.combine(store([update(1, 7)], known=["site-00"])))
    assert resumed.beside(current)[CONTROL].tolist() == strategy.beside(current)[CONTROL].tolist() == [5.0]
