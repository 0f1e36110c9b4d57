"""StillGAN's structure loss against a window by window computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hqgnet.losses import structure_loss


def naive(first: np.ndarray, second: np.ndarray) -> float:
    """One pair of single-channel images in [0, 1], every window on its own."""
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    constant = 0.03**2 / 2
    values = []
    for row in range(first.shape[0] - 10):
        for column in range(first.shape[1] - 10):
            x = first[row : row + 11, column : column + 11]
            y = second[row : row + 11, column : column + 11]
            mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
            deviation_x = math.sqrt((weights * (x - mean_x) ** 2).sum())
            deviation_y = math.sqrt((weights * (y - mean_y) ** 2).sum())
            covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
            values.append((covariance + constant) / (deviation_x * deviation_y + constant))
    return 1.0 - float(np.mean(values))


def test_equals_the_naive_computation() -> None:
    images = np.random.default_rng(0).random((2, 2, 3, 16, 19))
    expected = np.mean([naive(x, y) for x, y in zip(*images.reshape(2, -1, 16, 19), strict=True)])
    found = structure_loss(*(torch.from_numpy(image) for image in images))
    assert float(found) == pytest.approx(float(expected), abs=1e-9)
    assert float(structure_loss(*(torch.from_numpy(i).float() for i in images))) == pytest.approx(
        expected, abs=1e-4
    )


def test_brightness_and_contrast_do_not_count() -> None:
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(structure_loss(image, image)) == pytest.approx(0, abs=1e-9)
    assert float(structure_loss(0.5 * image + 0.3, image)) < 0.01
    assert float(structure_loss(1 - image, image)) > 1.9


def test_flat_images_have_a_finite_gradient() -> None:
    flat = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    loss = structure_loss(flat, torch.full((1, 3, 16, 16), 0.2))
    loss.backward()
    assert flat.grad is not None and bool(flat.grad.isfinite().all())
    assert float(loss.detach()) == pytest.approx(0, abs=1e-3)


def test_small_images_get_a_smaller_window_and_other_shapes_are_refused() -> None:
    assert bool(structure_loss(torch.rand(1, 1, 6, 40), torch.rand(1, 1, 6, 40)).isfinite())
    with pytest.raises(ValueError, match="differ in shape"):
        structure_loss(torch.rand(1, 1, 16, 16), torch.rand(1, 3, 16, 16))
