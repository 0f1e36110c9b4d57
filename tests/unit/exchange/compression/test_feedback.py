"""Error feedback: over the rounds everything arrives."""

from __future__ import annotations

import numpy as np
import pytest

from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import Arrays, distance
from hqgnet.exchange.compression.codec import Floats
from hqgnet.exchange.compression.feedback import compress_update
from tests.unit.exchange.compression.updates import LARGE, model, trained

Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def plain_int8(moved: Doubles) -> Doubles:
    """Straight from the definition: a row's largest number becomes 127."""
    out = np.zeros_like(moved)
    for index, row in enumerate(moved):
        step = np.abs(row).max() / 127
        out[index] = [round(value / step) * step for value in row]
    return out


def plain_topk(moved: Doubles) -> Doubles:
    out = np.zeros_like(moved)
    for index in np.argsort(-np.abs(moved), axis=None)[: int(np.ceil(0.05 * moved.size))]:
        out.flat[index] = moved.flat[index]
    return out


@pytest.mark.parametrize(("up", "plain"), [("int8", plain_int8), ("topk", plain_topk)])
def test_it_is_the_plain_algorithm(up: str, plain: object) -> None:
    settings = CompressionConfig.model_validate({"up": up, "topk_share": 0.05})
    base: Arrays = {"w": np.zeros((20, 60), np.float32)}
    left_out: dict[str, Floats] = {}
    memory = np.zeros((20, 60))
    for number in range(4):
        after = trained(base, number)
        update = compress_update(after, base, left_out, settings)
        wanted = np.asarray(after["w"], np.float64) + memory
        sent = plain(wanted)  # type: ignore[operator]
        memory = wanted - sent
        # A number at the border of two steps may fall on either side; topk's values are float16.
        largest = 1.1 * np.abs(wanted).max() / 127 if up == "int8" else 2**-10 * np.abs(wanted).max()
        assert np.abs(update.decoded["w"] - sent).max() <= largest
        assert np.abs(update.left_out["w"] - memory).max() <= 2 * largest
        close = np.isclose(update.decoded["w"], sent, rtol=2**-10, atol=1e-6)
        assert close.mean() > 0.99
        left_out = update.left_out


@pytest.mark.parametrize("up", ["int8", "topk"])
def test_the_mean_of_what_arrives_becomes_that_of_what_was_meant(up: str) -> None:
    settings = CompressionConfig.model_validate({"up": up, "topk_share": 0.1})
    base = model()
    left_out: dict[str, Floats] = {}
    meant = {name: np.zeros(base[name].shape) for name in LARGE}
    arrived = {name: np.zeros(base[name].shape) for name in LARGE}
    gaps = []
    for number in range(40):
        after = trained(base, number)
        update = compress_update(after, base, left_out, settings)
        left_out = update.left_out
        for name in LARGE:
            meant[name] += np.subtract(after[name], base[name], dtype=np.float64)
            arrived[name] += np.subtract(update.decoded[name], base[name], dtype=np.float64)
        gaps.append(sum(float(np.square(meant[n] - arrived[n]).sum()) for n in LARGE) ** 0.5 / (number + 1))
    # Without feedback the gap between the means of ten times as many rounds is a third; with it, a tenth.
    assert gaps[39] < 0.2 * gaps[3] if up == "int8" else gaps[39] < 0.35 * gaps[3]
    # What has not arrived is what is kept, to float32's last digits.
    for name in LARGE:
        np.testing.assert_allclose(meant[name] - arrived[name], left_out[name], atol=1e-5)


def test_codecs_without_feedback_keep_nothing() -> None:
    base = model()
    for up in ("float16", "bfloat16", "float32"):
        settings = CompressionConfig.model_validate({"up": up, "zstd": True})
        assert compress_update(trained(base), base, {}, settings).left_out == {}


def test_what_is_left_over_goes_though_nothing_has_moved() -> None:
    base = model()
    settings = CompressionConfig(up="int8")
    first = compress_update(trained(base), base, {}, settings)
    second = compress_update(base, base, first.left_out, settings)
    assert distance(second.decoded, base) > 0
    third = compress_update(base, base, second.left_out, settings)
    assert distance(third.decoded, base) < 0.1 * distance(second.decoded, base)


@pytest.mark.parametrize("up", ["int8", "topk"])
def test_what_leaves_stays_within_a_limit_and_the_rest_goes_later(up: str) -> None:
    base = model()
    after = trained(base)
    settings = CompressionConfig.model_validate({"up": up, "topk_share": 0.5})
    rest = {name: np.asarray(3 * (after[name] - base[name]), np.float32) for name in LARGE}
    limit = distance(after, base)
    assert distance(compress_update(after, base, rest, settings).decoded, base) > 2 * limit
    update = compress_update(after, base, rest, settings, limit)
    assert 0.9 * limit < distance(update.decoded, base) <= limit
    for name in LARGE:
        moved = np.subtract(update.decoded[name], base[name])
        whole = after[name] - base[name] + rest[name]
        np.testing.assert_allclose(moved + update.left_out[name], whole, atol=1e-6)
    for name in base.keys() - set(LARGE):
        np.testing.assert_array_equal(update.decoded[name], after[name])


def test_a_limit_leaves_alone_what_is_within() -> None:
    base = model()
    after = trained(base)
    settings = CompressionConfig(up="int8")
    free, limited = (compress_update(after, base, {}, settings, limit) for limit in (None, 1e6))
    np.testing.assert_array_equal(free.packed, limited.packed)
    exact = CompressionConfig(zstd=True)
    assert distance(compress_update(after, base, {}, exact, 1e-9).decoded, after) == 0
