"""The memory of a discriminator."""

from __future__ import annotations

import torch

from hqgnet.training.image_pool import ImagePool


def numbered(*numbers: int) -> torch.Tensor:
    return torch.stack([torch.full((1, 2, 2), number / 256) for number in numbers])


def run(pool: ImagePool, first: int, last: int) -> list[int]:
    shown = [pool.exchange(numbered(2 * step, 2 * step + 1), step) for step in range(first, last)]
    return [round(float(image[0, 0, 0]) * 256) for batch in shown for image in batch]


def test_it_fills_first_and_is_bounded() -> None:
    pool = ImagePool(4, seed=0, purpose="test")
    assert run(pool, 0, 2) == [0, 1, 2, 3]
    run(pool, 2, 40)
    assert pool.state()["images"].shape == (4, 1, 2, 2)


def test_earlier_images_come_back_about_half_of_the_time_and_once() -> None:
    shown = run(ImagePool(8, seed=0, purpose="test"), 0, 100)
    new = sum(number == place for place, number in enumerate(shown[8:], start=8))
    assert 0.35 < new / (len(shown) - 8) < 0.65
    late = shown[8:]
    earlier = [number for place, number in enumerate(late, start=8) if number != place]
    assert all(number < 200 for number in earlier)
    # An image that was handed on from the pool has left it.
    assert len(earlier) == len(set(earlier))


def test_state_continues_the_uninterrupted_pool() -> None:
    unbroken = ImagePool(5, seed=1, purpose="test")
    expected = run(unbroken, 0, 30)
    first, second = ImagePool(5, seed=1, purpose="test"), ImagePool(5, seed=1, purpose="test")
    before = run(first, 0, 12)
    second.load_state(first.state())
    assert before + run(second, 12, 30) == expected
    second.load_state({})
    assert second.state() == {}


def test_size_zero_remembers_nothing() -> None:
    pool = ImagePool(0, seed=0, purpose="test")
    assert run(pool, 0, 5) == list(range(10))
    assert pool.state() == {}


def test_images_are_detached() -> None:
    images = numbered(1, 2).requires_grad_(True)
    assert not ImagePool(4, seed=0, purpose="test").exchange(images, 0).requires_grad
