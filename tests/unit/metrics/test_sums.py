"""Mergeable sums: exact merging, strict reading."""

from __future__ import annotations

import json
import math
import random
import statistics
from typing import Any

import numpy as np
import pytest
import torch

from hqgnet.errors import DataError
from hqgnet.metrics.sums import MeanSums

GOOD: dict[str, Any] = {"sum": 1.5, "sum_of_squares": 1.25, "count": 2, "undefined": 1}


def test_mean_and_spread() -> None:
    values = [25.125, 31.5, 28.75, 22.0]
    sums = MeanSums.of(values)
    assert sums.mean == statistics.fmean(values)
    assert sums.standard_deviation == pytest.approx(statistics.pstdev(values))
    assert (sums.count, sums.undefined) == (4, 0)


def test_takes_tensors_and_arrays() -> None:
    assert (
        MeanSums.of(torch.tensor([0.5, 0.25]))
        == MeanSums.of(np.array([0.5, 0.25]))
        == MeanSums.of([0.5, 0.25])
    )


def test_what_is_not_defined_is_counted_and_never_averaged() -> None:
    sums = MeanSums.of([math.nan, 20.0, math.inf, -math.inf, 1e200])
    assert sums == MeanSums(sum=20.0, sum_of_squares=400.0, count=1, undefined=4)


def test_nothing_has_no_mean() -> None:
    assert MeanSums().mean is None
    assert MeanSums().standard_deviation is None
    assert MeanSums.of([math.nan]).mean is None


def test_any_partition_in_any_order_equals_the_union_exactly() -> None:
    shuffled = random.Random(0)
    values = [shuffled.gauss(25, 5) for _ in range(1000)] + [shuffled.random() * 1e-6 for _ in range(1000)]
    union = MeanSums.of(values)
    for sites in (2, 3, 7, 2000):
        shuffled.shuffle(values)
        merged = sum((MeanSums.of(values[site::sites]) for site in range(sites)), MeanSums())
        assert merged == union
    assert union.mean == pytest.approx(math.fsum(values) / 2000, abs=1e-9)


def test_near_equal_values_have_no_negative_variance() -> None:
    deviation = MeanSums.of([99.9999999] * 1000).standard_deviation
    assert deviation is not None
    assert 0 <= deviation < 1e-3


@pytest.mark.parametrize(
    ("sums", "fits"),
    [
        (MeanSums.of([0.0, 1.0]), True),
        (MeanSums(), True),
        (MeanSums.of([math.nan]), True),
        (MeanSums.of([1.0000005] * 9), True),  # single precision
        (MeanSums(2.5, 1.0, 2), False),
        (MeanSums(-0.5, 1.0, 2), False),
        (MeanSums(1.0, 9.0, 2), False),
        (MeanSums(1e299, 1e299, 1), False),
    ],
)
def test_sums_that_figures_of_a_range_cannot_have(sums: MeanSums, fits: bool) -> None:
    assert sums.is_within(0, 1) is fits
    assert sums.images == sums.count + sums.undefined


def test_json_round_trip_is_exact() -> None:
    sums = MeanSums.of([0.1, 1 / 3, -7.7, math.nan])
    assert MeanSums.from_json(json.loads(json.dumps(sums.to_json()))) == sums
    assert (
        MeanSums.from_json(json.loads('{"sum": 1, "sum_of_squares": 1, "count": 1, "undefined": 0}')).mean
        == 1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sum": math.nan}, "finite"),
        ({"sum": math.inf}, "number"),
        ({"sum": 10**400}, "huge integer"),
        ({"sum": "1.5"}, "str"),
        ({"sum": True}, "bool"),
        ({"sum": None}, "NoneType"),
        ({"sum_of_squares": -0.5}, "negative"),
        ({"count": -1}, "integer from 0"),
        ({"count": 2.0}, "integer from 0"),
        ({"count": True}, "integer from 0"),
        ({"count": 2**60}, "integer from 0"),
        ({"count": 0}, "cannot have a sum"),
        ({"undefined": -3}, "integer from 0"),
        ({"median": 1.0}, "unknown field"),
    ],
)
def test_malformed_json_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        MeanSums.from_json({**GOOD, **change}, where="site a: psnr")
    assert caught.value.problems[0].where == f"site a: psnr.{next(iter(change))}"


@pytest.mark.parametrize("payload", [None, [], "sums", 3, [GOOD]])
def test_json_of_another_kind_is_refused(payload: object) -> None:
    with pytest.raises(DataError, match="expected an object"):
        MeanSums.from_json(payload)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(DataError) as caught:
        MeanSums.from_json({"sum": "x", "count": -1, "undefined": 0})
    assert [problem.where for problem in caught.value.problems] == [
        "sums.sum",
        "sums.sum_of_squares",
        "sums.count",
    ]
