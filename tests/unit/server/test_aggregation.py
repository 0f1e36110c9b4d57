"""The weighted mean against numbers worked out by hand, against Flower, and in every order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from flwr.server.strategy.aggregate import aggregate

from hqgnet.errors import OutputError
from hqgnet.exchange.arrays import Array, Arrays
from server.aggregation import weighted_mean
from server.spool import Spool

ROOM = 2**23
Updates = Mapping[str, tuple[Mapping[str, Array], int]]


def mean_of(
    updates: Updates, folder: Path, order: Sequence[str] | None = None, threads: int | None = None
) -> Arrays:
    with Spool(folder / "spool", updates, ROOM) as spool:
        for site in order or list(updates):
            spool.put(site, updates[site][0])
        weights = {site: weight for site, (_, weight) in updates.items()}
        return weighted_mean(spool.updates(weights), threads)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def test_weights_are_image_counts(tmp_path: Path) -> None:
    result = mean_of({"a": ({"x": floats(1, 2)}, 1), "b": ({"x": floats(5, -2)}, 3)}, tmp_path)["x"]
    assert result.dtype == np.float32
    assert result.tolist() == [4.0, -1.0]


def test_a_parameter_counts_only_the_sites_that_sent_it(tmp_path: Path) -> None:
    first = {"a.x": floats(2), "b.x": floats(8), "c.x": floats(1, 3)}
    second = {"a.x": floats(6), "c.x": floats(5, 7)}
    result = mean_of({"p": (first, 3), "q": (second, 1)}, tmp_path)
    assert {name: array.tolist() for name, array in result.items()} == {
        "a.x": [3.0],
        "b.x": [8.0],
        "c.x": [2.0, 4.0],
    }


def test_integers_stay_integers_and_keep_their_shape(tmp_path: Path) -> None:
    first, second = ({"seen": np.array(number, np.int64), "x": floats(1)} for number in (10, 15))
    result = mean_of({"a": (first, 2), "b": (second, 1)}, tmp_path)
    # 35 / 3 = 11.67
    assert (result["seen"].dtype, result["seen"].shape, int(result["seen"])) == (np.int64, (), 12)
    assert result["x"].tolist() == [1.0]


def test_the_order_does_not_matter_to_the_last_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    scale = np.float32(10.0) ** generator.integers(-6, 6, (4, 5000)).astype(np.float32)
    numbers = (generator.standard_normal((4, 5000)).astype(np.float32) * scale).astype(np.float32)
    updates = {
        f"site-{index}": ({"x": numbers[index]}, weight) for index, weight in enumerate([7, 640, 33, 1])
    }
    results = {mean_of(updates, tmp_path, order)["x"].tobytes() for order in permutations(updates)}
    assert len(results) == 1


@pytest.mark.parametrize("sites", [3, 40])
def test_many_blocks_and_threads_give_flowers_mean(sites: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    shapes = {"generator.a": (3, 70_001), "generator.b": (), "generator.c": (500, 400), "task.d": (77,)}
    weights = [int(weight) for weight in generator.integers(1, 900, sites)]
    updates = {}
    for index, weight in enumerate(weights):
        arrays: Arrays = {
            name: np.asarray(generator.standard_normal(shape), np.float32) for name, shape in shapes.items()
        }
        updates[f"site-{index}"] = (arrays, weight)
    alone, together = (mean_of(updates, tmp_path, threads=threads) for threads in (1, 3))
    assert all(alone[name].tobytes() == together[name].tobytes() for name in shapes)
    flower = aggregate([(list(arrays.values()), weight) for arrays, weight in updates.values()])
    exact = {
        name: sum(np.asarray(arrays[name], np.float64) * weight for arrays, weight in updates.values())
        / sum(weights)
        for name in shapes
    }
    for name, theirs in zip(shapes, flower, strict=True):
        assert alone[name].shape == shapes[name]
        np.testing.assert_allclose(alone[name], theirs, rtol=0, atol=1e-6)
        # Float32's last digits are all that is lost, where terms do not cancel.
        np.testing.assert_allclose(alone[name], exact[name], rtol=6e-8, atol=2e-7)


def test_one_update_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    assert mean_of({"a": ({"x": numbers}, 12_345)}, tmp_path)["x"].tobytes() == numbers.tobytes()


def test_an_update_sent_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", "a", ROOM) as spool:
        for value in (1.0, 9.0):
            spool.put("a", {"x": floats(value)})
        assert weighted_mean(spool.updates({"a": 1}))["x"].tolist() == [9.0]


def test_no_update_gives_no_mean_and_nothing_stays_on_disk(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", "a", ROOM) as spool:
        assert weighted_mean(spool.updates({})) == {}
        spool.put("a", {"x": floats(1)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weight", [0, -3, 1.5, True])
def test_weights_that_are_no_counts_are_refused(weight: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="positive whole number"):
        mean_of({"a": ({"x": floats(1)}, weight)}, tmp_path)  # type: ignore[dict-item]


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", "a", ROOM) as spool:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, spool._file)
        os.close(full)
        with pytest.raises(OutputError, match="cannot be written"):
            spool.put("a", {"x": np.zeros(100_000, np.float32)})


@pytest.mark.parametrize("absent", ["site-2", "site-4"])
def test_an_absent_site_and_sites_that_sent_less_leave_the_mean_right(absent: str, tmp_path: Path) -> None:
    """Updates then lie at unequal distances, and begin at other bytes."""
    generator = np.random.default_rng(3)
    size, sites = 600_000, [f"site-{index}" for index in range(6)]
    sent = {
        site: {"b.x": generator.standard_normal(size).astype(np.float32)} for site in sites if site[-1] != "2"
    }
    for site in ("site-0", "site-3"):
        sent[site]["a.n"] = np.array(4, np.int64)
        sent[site]["a.y"] = generator.standard_normal(77).astype(np.float32)
    weights = dict(zip(sent, (3, 90, 7, 11, 400), strict=True))
    with Spool(tmp_path / "spool", sites, ROOM) as spool:
        for site in reversed(list(sent)):
            spool.put(site, sent[site])
        found = weighted_mean(spool.updates(weights), threads=2)
    for name, holders in (("b.x", list(sent)), ("a.y", ["site-0", "site-3"])):
        exact = sum(sent[site][name].astype(np.float64) * weights[site] for site in holders)
        np.testing.assert_allclose(
            found[name], exact / sum(weights[site] for site in holders), rtol=0, atol=3e-7
        )
    assert int(found["a.n"]) == 4


def test_more_than_there_is_room_for_is_a_mistake(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", "a", 8) as spool, pytest.raises(ValueError, match="more than"):
        spool.put("a", {"x": np.zeros(2**20, np.float32)})
