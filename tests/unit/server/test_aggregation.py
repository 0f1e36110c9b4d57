"""The running mean against numbers worked out by hand, and in every order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from server.aggregation import RunningMean


def test_weights_are_image_counts() -> None:
    mean = RunningMean()
    mean.add({"a": np.array([1.0, 2.0], np.float32)}, 1)
    mean.add({"a": np.array([5.0, -2.0], np.float32)}, 3)
    result = mean.mean()["a"]
    assert result.dtype == np.float32
    assert result.tolist() == [4.0, -1.0]


def test_a_parameter_counts_only_the_sites_that_sent_it() -> None:
    mean = RunningMean()
    mean.add({"a": np.array([2.0], np.float32), "task": np.array([8.0], np.float32)}, 3)
    mean.add({"a": np.array([6.0], np.float32)}, 1)
    assert mean.mean()["task"].tolist() == [8.0]
    assert mean.mean()["a"].tolist() == [3.0]


def test_integers_stay_integers_and_keep_their_shape() -> None:
    mean = RunningMean()
    mean.add({"seen": np.array(10, np.int64)}, 2)
    mean.add({"seen": np.array(15, np.int64)}, 1)
    result = mean.mean()["seen"]
    # 35 / 3 = 11.67
    assert (result.dtype, result.shape, int(result)) == (np.int64, (), 12)


def test_the_order_does_not_matter_to_the_last_bit() -> None:
    generator = np.random.default_rng(0)
    scale = np.float32(10.0) ** generator.integers(-6, 6, (4, 5000)).astype(np.float32)
    updates = (generator.standard_normal((4, 5000)).astype(np.float32) * scale).astype(np.float32)
    weights = [7, 640, 33, 1]
    results, plain = set(), set()
    for order in permutations(range(4)):
        mean = RunningMean()
        naive = np.zeros(5000)
        for index in order:
            mean.add({"a": updates[index]}, weights[index])
            naive += updates[index].astype(np.float64) * weights[index]
        results.add(mean.mean()["a"].tobytes())
        plain.add(naive.tobytes())
    assert len(plain) > 1
    assert len(results) == 1


def test_the_update_is_not_kept() -> None:
    update = np.array([1.0], np.float32)
    mean = RunningMean()
    mean.add({"a": update}, 1)
    update[0] = 9.0
    assert mean.mean()["a"].tolist() == [1.0]


@pytest.mark.parametrize("weight", [0, -3, 1.5, True])
def test_weights_that_are_no_counts_are_refused(weight: object) -> None:
    with pytest.raises(ValueError, match="positive whole number"):
        RunningMean().add({"a": np.zeros(1, np.float32)}, weight)  # type: ignore[arg-type]
