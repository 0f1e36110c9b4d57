"""Median and trimmed mean against numpy and Flower."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flwr.server.strategy.aggregate import aggregate_median, aggregate_trimmed_avg

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays
from server.strategies import make_strategy
from server.strategies.coordinates import mean_of_sorted, middle, sort_rows

Store = Callable[..., object]
MEDIAN = make_strategy(FederationConfig(strategy="median"), ())


def updates(sites: int) -> list[Arrays]:
    generator = np.random.default_rng(sites)
    shapes = {"generator.a": (7, 9001), "generator.b": (), "task.c": (13,)}
    return [
        {name: np.asarray(generator.standard_normal(shape), np.float32) for name, shape in shapes.items()}
        for _ in range(sites)
    ]


@pytest.mark.parametrize("count", [*range(1, 20), 33, 64])
def test_the_network_sorts(count: int) -> None:
    numbers = np.random.default_rng(count).integers(0, 9, (count, 500)).astype(np.float32)
    rows = [row.copy() for row in numbers]
    spare = np.empty(500, np.float32)
    left = sort_rows(rows, spare)
    assert np.array_equal(np.stack(rows), np.sort(numbers, axis=0))
    assert len({id(array) for array in [*rows, left]}) == count + 1


@pytest.mark.parametrize("sites", [1, 2, 3, 8, 13])
def test_the_median_is_flowers(sites: int, store: Store) -> None:
    given = updates(sites)
    found = MEDIAN.combine(store(given, [5] * sites))  # type: ignore[arg-type]
    theirs = aggregate_median([(list(one.values()), 1) for one in given])
    for name, expected in zip(given[0], theirs, strict=True):
        assert found[name].shape == given[0][name].shape
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("sites", "share"), [(2, 0.2), (5, 0.2), (10, 0.2), (7, 0.45), (4, 0.0)])
def test_the_trimmed_mean_is_flowers(sites: int, share: float, store: Store) -> None:
    given = updates(sites)
    strategy = make_strategy(FederationConfig(strategy="trimmed_mean", trimmed_share=share), ())
    found = strategy.combine(store(given))  # type: ignore[arg-type]
    theirs = aggregate_trimmed_avg([(list(one.values()), 1) for one in given], share)
    for name, expected in zip(given[0], theirs, strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sites", [3, 4])
def test_of_few_sites_one_is_trimmed_at_either_end(sites: int, store: Store) -> None:
    given: list[Arrays] = [{"a": np.array([value], np.float32)} for value in (-1e9, 1.0, 3.0, 1e9)[-sites:]]
    found = make_strategy(FederationConfig(strategy="trimmed_mean"), ()).combine(store(given))
    assert found["a"].tolist() == [2.0 if sites == 4 else 3.0]


def test_threads_do_not_matter(store: Store) -> None:
    stored = store(updates(5))
    one, three = (mean_of_sorted(stored, middle, threads) for threads in (1, 3))  # type: ignore[arg-type]
    assert all(one[name].tobytes() == three[name].tobytes() for name in one)


def test_two_liars_of_five_do_not_move_the_median(store: Store) -> None:
    honest: list[Arrays] = [{"a": np.array([value], np.float32)} for value in (1.0, 1.1, 0.9)]
    lies: list[Arrays] = [{"a": np.array([value], np.float32)} for value in (1e30, -1e30)]
    found = MEDIAN.combine(store([*honest, *lies], [1, 1, 1, 10**6, 10**6]))  # type: ignore[arg-type]
    assert found["a"].tolist() == [1.0]


def test_it_is_over_those_who_sent_a_parameter_and_integers_round(store: Store) -> None:
    given: list[Arrays] = [
        {
            "a": np.array([1.0], np.float32),
            "seen": np.array(3, np.int64),
            "task": np.array([7.0], np.float32),
        },
        {"a": np.array([2.0], np.float32), "seen": np.array(4, np.int64)},
        {"a": np.array([9.0], np.float32), "seen": np.array(2**32 - 1, np.int64)},
        {
            "a": np.array([3.0], np.float32),
            "seen": np.array(5, np.int64),
            "task": np.array([8.0], np.float32),
        },
    ]
    found = MEDIAN.combine(store(given))  # type: ignore[arg-type]
    assert found["a"].tolist() == [2.5] and found["task"].tolist() == [7.5]
    # (4 + 5) / 2 = 4.5
    assert (found["seen"].dtype, found["seen"].shape, int(found["seen"])) == (np.int64, (), 5)
