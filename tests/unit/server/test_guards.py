"""Updates that must not reach the sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from hqgnet.exchange.arrays import specs
from hqgnet.exchange.data_card import DataCard, SplitCounts
from hqgnet.exchange.update import (
    MalformedMessageError,
    TrainRequest,
    UpdateHeader,
    digest,
    read_message,
)
from server.guards import Expected, NormGuard, RefusedReplyError, check_update, distrusted, moved

COUNTS = SplitCounts(train=8, validation=1, test=2)
CARD = DataCard(
    name="site-1",
    modality="fundus",
    channels=3,
    lq=COUNTS,
    hq=COUNTS,
    patients=5,
    masks=8,
    twins=0,
    skipped=0,
    shortest_side=48,
    longest_side=48,
    has_masks=True,
    has_twins=False,
)
REQUEST = TrainRequest(
    run="r-1",
    phase="enhance",
    round=2,
    global_round=4,
    first_step=2,
    steps=2,
    deadline_s=60.0,
    experiment="{}",
)
ARRAYS = {"generator.w": np.zeros((3, 4), np.float32), "generator.seen": np.array(3, np.int64)}
HEADER: dict[str, Any] = {
    "run": "r-1",
    "phase": "enhance",
    "round": 2,
    "attempt": 0,
    "site": "site-1",
    "groups": ["generator"],
    "lq_images": 8,
    "hq_images": 8,
    "steps": 2,
    "losses": {"haar": 0.5},
    "seconds": 1.0,
    "card_digest": digest(CARD.to_json()),
}


def check(header: dict[str, Any], arrays: dict[str, Any]) -> None:
    state = {"generator.w": torch.zeros(3, 4), "generator.seen": torch.tensor(0)}
    expected = Expected("site-1", CARD, ("generator",), specs(state, state))
    check_update(UpdateHeader(**header), arrays, REQUEST, expected)


def test_a_good_update_passes() -> None:
    check(HEADER, ARRAYS)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"run": "r-2"}, "reply-of-another-round"),
        ({"round": 1}, "reply-of-another-round"),
        ({"attempt": 1}, "reply-of-another-round"),
        ({"phase": "pretrain"}, "reply-of-another-round"),
        ({"site": "site-2"}, "reply-of-another-site"),
        ({"groups": ["generator", "discriminator"]}, "other-parameter-groups"),
        ({"lq_images": 9_999_999}, "image-counts-differ-from-data-card"),
        ({"lq_images": 0}, "image-counts-differ-from-data-card"),
        ({"card_digest": "0" * 64}, "image-counts-differ-from-data-card"),
        ({"steps": 3}, "more-steps-than-asked"),
    ],
)
def test_headers_that_do_not_fit_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RefusedReplyError) as caught:
        check(HEADER | change, ARRAYS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"generator.w": np.zeros(4, np.float32)}, "array-shape"),
        ({"generator.w": np.zeros((1, 4), np.float32)}, "array-shape"),
        ({"generator.seen": np.zeros(1, np.int64)}, "array-shape"),
        ({"generator.w": np.zeros((3, 4), np.float64)}, "array-dtype"),
        ({"generator.w": np.zeros((3, 4), np.float16)}, "array-dtype"),
        ({"generator.seen": np.array(3.0, np.float32)}, "array-dtype"),
        ({"generator.w": np.full((3, 4), np.nan, np.float32)}, "array-not-finite"),
        ({"generator.w": np.full((3, 4), -np.inf, np.float32)}, "array-not-finite"),
        ({"generator.seen": np.array(-1, np.int64)}, "array-not-finite"),
        ({"generator.seen": np.array(2**62, np.int64)}, "array-not-finite"),
        ({"discriminator.w": np.zeros(1, np.float32)}, "array-unknown"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(RefusedReplyError) as caught:
        check(HEADER, ARRAYS | change)
    assert caught.value.code == code


def test_a_missing_array_is_refused() -> None:
    with pytest.raises(RefusedReplyError, match="array-missing"):
        check(HEADER, {"generator.w": ARRAYS["generator.w"]})


@pytest.mark.parametrize(
    "change",
    [
        {"lq_images": -1},
        {"lq_images": 10**12},
        {"lq_images": 8.0},
        {"losses": {"haar": float("nan")}},
        {"losses": {"haar": 1e31}},
        {"losses": {"haar": -1e308}},
        {"seconds": 1e308},
        {"losses": {"../x": 1.0}},
        {"extra": 1},
        {"protocol": 2},
        {"run": "../../etc"},
    ],
)
def test_malformed_headers_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        UpdateHeader(**(HEADER | change))


@pytest.mark.parametrize("text", [None, 3, "", "[]", "{}", '{"run": "x"', "NaN", "[" * 100_000])
def test_texts_that_are_no_message_are_refused_without_repeating_them(text: object) -> None:
    with pytest.raises(MalformedMessageError):
        read_message(text, UpdateHeader)
    with pytest.raises(MalformedMessageError) as caught:
        read_message('{"site": "patient name"}', UpdateHeader)
    assert "patient" not in str(caught.value)


def test_running_statistics_do_not_count_in_how_far_an_update_moves() -> None:
    sent = {name: np.zeros(2, np.float32) for name in ("a.weight", "a.running_mean", "a.running_var")}
    update = {"a.weight": np.array([3, 4], np.float32), "a.running_mean": np.full(2, 90, np.float32)}
    assert moved(update | {"a.running_var": np.full(2, 5e4, np.float32)}, sent) == 5.0


def test_an_update_far_beyond_the_median_is_an_outlier() -> None:
    guard = NormGuard(10.0)
    assert guard.outliers({"a": 1.0, "b": 3.0, "c": 100.0}) == {"c"}
    assert guard.outliers({"a": 1.0, "b": 3.0, "c": 29.9}) == set()


def test_fewer_than_three_distances_are_no_measure_but_infinity_is_none() -> None:
    guard = NormGuard(10.0)
    assert guard.outliers({"a": 1.0, "b": 100.0}) == set()
    assert guard.outliers({"a": 1.0, "b": float("inf"), "c": float("nan")}) == {"b", "c"}
    assert guard.outliers({}) == set()


def test_two_sites_are_held_against_the_last_three_rounds_of_the_phase() -> None:
    guard = NormGuard(10.0)
    for number in range(5):
        guard.remember([1.0 + number, 2.0 + number])
    assert guard.history == [[3.0, 4.0], [4.0, 5.0], [5.0, 6.0]]
    assert guard.outliers({"a": 5.0, "b": 500.0}) == {"b"}
    assert NormGuard(10.0, guard.history).outliers({"a": 5.0, "b": 500.0}) == {"b"}
    guard.begin_phase()
    assert guard.outliers({"a": 5.0, "b": 500.0}) == set()


def test_sites_that_stand_still_make_nobody_an_outlier() -> None:
    assert NormGuard(10.0).outliers({"a": 0.0, "b": 0.0, "c": 1e-9}) == set()


def test_whatever_a_reply_brings_about_is_a_refusal_without_its_text(caplog: Any) -> None:
    with pytest.raises(RefusedReplyError, match=r"^reply-malformed$"), distrusted():
        raise ValueError("a patient's name")
    assert "patient" not in caplog.text
