"""What each codec keeps of numbers, held against plain computations of the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hqgnet.exchange.compression.codec import Codec, Floats
from hqgnet.exchange.compression.halves import BFloat16Codec, Float16Codec
from hqgnet.exchange.compression.int8 import Int8Codec
from hqgnet.exchange.compression.schema import BFloat16, Float16, Int8, TopK
from hqgnet.exchange.compression.topk import TopKCodec

ENTRIES = {Float16Codec: Float16, BFloat16Codec: BFloat16, Int8Codec: Int8, TopKCodec: TopK}
CODECS = [Float16Codec(), BFloat16Codec(), Int8Codec(), TopKCodec(0.1)]


def there_and_back(codec: Codec, numbers: Floats) -> Floats:  # type: ignore[type-arg]
    before = numbers.copy()
    facts, parts = codec.encode(numbers.reshape(-1), numbers.shape)
    np.testing.assert_array_equal(numbers, before)
    entry = ENTRIES[type(codec)](name="a", shape=list(numbers.shape), stored=0, **facts)
    assert [(part.dtype, len(part)) for part in parts] == [(np.dtype(k), n) for k, n in codec.layout(entry)]
    assert sum(part.nbytes for part in parts) <= codec.most_bytes(numbers.shape)
    out = np.full(numbers.size, np.nan, np.float32)
    codec.decode(entry, parts, out)
    return out.reshape(numbers.shape)


def noise(shape: tuple[int, ...], size: float = 1.0, seed: int = 0) -> Floats:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * size, np.float32)


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1e-4, 1.0, 1e30])
def test_float16_loses_no_digits_to_small_numbers(size: float) -> None:
    numbers = noise((32, 64), size)
    back = there_and_back(Float16Codec(), numbers)
    large = np.abs(numbers) > 1e-3 * np.abs(numbers).max()
    assert np.abs(back / numbers - 1)[large].max() <= 2**-11
    assert np.abs(back - numbers).max() <= 2**-11 * np.abs(numbers).max()


def test_float16_of_the_largest_and_smallest_numbers() -> None:
    large = np.array([[3e38, -1e38, 0.0]], np.float32)
    np.testing.assert_allclose(there_and_back(Float16Codec(), large), large, rtol=2**-11)
    assert there_and_back(Float16Codec(), np.full((1, 4), 1e-44, np.float32)).max() <= 1e-30


@pytest.mark.parametrize("size", [1e-38, 1e-4, 1.0, 1e36])
def test_bfloat16_is_torchs(size: float) -> None:
    numbers = noise((100, 1000), size)
    # Ties go to even.
    numbers[0, :2] = [1 + 2**-8, 1 + 3 * 2**-8]
    torchs = torch.from_numpy(numbers).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(there_and_back(BFloat16Codec(), numbers), torchs)


@pytest.mark.parametrize("shape", [(16, 24, 3, 3), (3, 50_000), (300, 700), (1, 2000)])
def test_int8_is_a_scale_a_channel(shape: tuple[int, ...]) -> None:
    numbers = noise(shape) * np.arange(1, shape[0] + 1, dtype=np.float32).reshape(-1, *[1] * (len(shape) - 1))
    back = there_and_back(Int8Codec(), numbers)
    for row, found in zip(numbers, back, strict=True):
        step = np.abs(row.astype(np.float64)).max() / 127
        expected = np.rint(row / step) * step
        # Half of the step is where rounding may go either way.
        off = np.abs(found - expected) > 1e-4 * step
        assert off.sum() <= 1 + 1e-3 * off.size
        assert np.abs(found - row).max() <= 0.501 * step


def test_int8_gives_short_rows_one_scale() -> None:
    numbers = noise((200, 1, 3, 3))
    facts, _ = Int8Codec().encode(numbers.reshape(-1), numbers.shape)
    assert facts == {"scales": 1}
    assert np.abs(there_and_back(Int8Codec(), numbers) - numbers).max() <= np.abs(numbers).max() / 253


def test_int8_of_rows_that_have_no_scale() -> None:
    numbers = noise((3, 600))
    numbers[0], numbers[1] = 0, 1e-44
    back = there_and_back(Int8Codec(), numbers)
    assert not back[:2].any() and back[2].any()


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5])
@pytest.mark.parametrize("shape", [(50, 60), (1, 200_000)])
def test_topk_keeps_the_largest(share: float, shape: tuple[int, int]) -> None:
    numbers = noise(shape)
    back = there_and_back(TopKCodec(share), numbers)
    kept = math.ceil(share * numbers.size)
    order = np.argsort(-np.abs(numbers.reshape(-1)), kind="stable")[:kept]
    assert sorted(np.flatnonzero(back)) == sorted(order)
    np.testing.assert_allclose(back.reshape(-1)[order], numbers.reshape(-1)[order], rtol=2**-11)


def test_topk_of_equal_numbers_keeps_the_first() -> None:
    numbers = np.ones((1, 100), np.float32)
    numbers[0, 50] = -2
    assert list(np.flatnonzero(there_and_back(TopKCodec(0.05), numbers))) == [0, 1, 2, 3, 50]


def test_topk_sends_no_zeros() -> None:
    numbers = np.zeros((1, 100_000), np.float32)
    numbers[0, [7, 99_999]] = [3, -4]
    facts, _ = TopKCodec(0.5).encode(numbers.reshape(-1), numbers.shape)
    # More lies between the two than two bytes hold.
    assert (facts["kept"], facts["gap_bytes"]) == (2, 4)
    np.testing.assert_array_equal(there_and_back(TopKCodec(0.5), numbers), numbers)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_coding_is_the_same_twice(codec: Codec) -> None:  # type: ignore[type-arg]
    numbers = noise((64, 64))
    first, second = (codec.encode(numbers.reshape(-1), numbers.shape) for _ in range(2))
    assert first[0] == second[0]
    assert [part.tobytes() for part in first[1]] == [part.tobytes() for part in second[1]]
