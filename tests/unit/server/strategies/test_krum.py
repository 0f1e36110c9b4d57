"""Krum and Multi-Krum against Flower's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.server.strategy.aggregate import _compute_distances, aggregate_krum

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays
from server.strategies import make_strategy
from server.strategies.base import Strategy
from server.strategies.krum import squared_distances

Store = Callable[..., Any]


def krum(name: str, faulty: int, **options: Any) -> Strategy:
    federation = FederationConfig(
        strategy=name,  # type: ignore[arg-type]
        faulty_sites=faulty,
        minimum_sites=2 * faulty + 3,
        **options,
    )
    return make_strategy(federation, ())


def updates(sites: int, spread: float = 1.0) -> list[Arrays]:
    generator = np.random.default_rng(sites)
    shapes = {"generator.a": (5, 4001), "generator.b": (), "task.c": (13,)}
    centre = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    return [
        {
            name: np.asarray(centre[name] + spread * generator.standard_normal(shape), np.float32)
            for name, shape in shapes.items()
        }
        for _ in range(sites)
    ]


def with_liars(sites: int, liars: int) -> list[Arrays]:
    given = updates(sites, 0.1)
    for index in range(liars):
        given[index] = {
            name: np.asarray(array + 3 + index, np.float32) for name, array in given[index].items()
        }
    return given


@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_distances_are_those_between_the_updates(spread: float, store: Store) -> None:
    given = updates(6, spread)
    theirs = _compute_distances([[np.asarray(array, np.float64) for array in one.values()] for one in given])
    np.testing.assert_allclose(squared_distances(store(given)), theirs, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("sites", "liars"), [(5, 1), (9, 3), (8, 0)])
def test_krum_is_flowers(sites: int, liars: int, store: Store) -> None:
    given = with_liars(sites, liars)
    found = krum("krum", liars).combine(store(given))
    theirs = aggregate_krum([(list(one.values()), 1) for one in given], liars, 0)
    assert all(np.array_equal(found[name], array) for name, array in zip(given[0], theirs, strict=True))


@pytest.mark.parametrize("selected", [3, 6])
def test_multi_krum_is_flowers(selected: int, store: Store) -> None:
    given, weights = with_liars(9, 2), [4, 9, 1, 2, 8, 30, 7, 5, 2]
    found = krum("multi_krum", 2, selected_sites=selected).combine(store(given, weights))
    results = [(list(one.values()), weight) for one, weight in zip(given, weights, strict=True)]
    theirs = aggregate_krum(results, 2, selected)
    for name, array in zip(given[0], theirs, strict=True):
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6)


def test_multi_krum_leaves_out_as_many_as_may_be_faulty(store: Store) -> None:
    given = with_liars(5, 1)
    found = krum("multi_krum", 1).combine(store(given))
    honest = np.mean([one["task.c"] for one in given[1:]], axis=0)
    np.testing.assert_allclose(found["task.c"], honest, rtol=1e-6)


@pytest.mark.parametrize("name", ["krum", "multi_krum"])
def test_running_statistics_choose_nobody(name: str, store: Store) -> None:
    given = with_liars(6, 1)
    spread = np.random.default_rng(0)
    for index, one in enumerate(given):
        # The liar's statistics lie in the middle of honest ones that differ by more than all weights do.
        one["generator.norm.running_var"] = np.full(
            9, 1e4 if index == 0 else spread.uniform(0, 2e4), np.float32
        )
    found = krum(name, 1).combine(store(given))
    honest = [one["generator.a"] for one in given[1:]]
    assert np.abs(found["generator.a"] - np.mean(honest, axis=0)).max() < 1
    if name == "krum":
        assert any(
            all(np.array_equal(found[key], one[key]) for key in ("generator.a", "generator.norm.running_var"))
            for one in given[1:]
        )


def test_what_few_sites_sent_is_judged_by_itself(store: Store) -> None:
    given = with_liars(5, 1)
    # Two sites have masks, one of them lies: two are no majority, and their median is all there is.
    for one in given[2:]:
        del one["task.c"]
    found = krum("krum", 1).combine(store(given))
    assert any(np.array_equal(found["generator.a"], one["generator.a"]) for one in given[1:])
    expected = (given[0]["task.c"] + given[1]["task.c"]) / 2
    np.testing.assert_allclose(found["task.c"], expected, rtol=1e-6)


def test_parameters_between_those_of_fewer_sites_are_not_mixed_up(store: Store) -> None:
    given = updates(5)
    for index, one in enumerate(given):
        one["generator.aa"] = np.full(3, index, np.float32)
    del given[3]["generator.aa"]
    found = krum("krum", 1).combine(store(given))
    chosen = next(
        index for index, one in enumerate(given) if np.array_equal(found["generator.a"], one["generator.a"])
    )
    assert np.array_equal(found["task.c"], given[chosen]["task.c"])
    assert np.array_equal(found["generator.aa"], [1.5] * 3)
