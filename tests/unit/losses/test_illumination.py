"""StillGAN's illumination regularisation against loops over regions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hqgnet.losses import illumination_loss


def naive(image: torch.Tensor) -> float:
    """One single-channel image (H, W)."""
    height, width = image.shape
    total = 0.0
    for scale in (48, 96):
        rows = [
            [
                float(image[top : top + scale, left : left + scale].mean() - image.mean())
                for left in range(0, width, scale)
            ]
            for top in range(0, height, scale)
        ]
        coarse = torch.tensor(rows, dtype=image.dtype)[None, None]
        total += float(F.interpolate(coarse, size=(height, width), mode="bicubic").abs().mean())
    return total


@pytest.mark.parametrize("size", [(96, 96), (192, 96), (100, 130), (40, 60)])
def test_equals_the_naive_computation(size: tuple[int, int]) -> None:
    images = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = sum(naive(image[0]) for image in images) / 2
    assert float(illumination_loss(images)) == pytest.approx(expected, abs=1e-9)


def test_a_ramp_counts_and_an_even_image_does_not() -> None:
    ramp = torch.linspace(0, 1, 192).expand(1, 3, 192, 192)
    assert float(illumination_loss(ramp)) > 0.3
    assert float(illumination_loss(torch.full((1, 3, 192, 192), 0.7))) == pytest.approx(0, abs=1e-3)
    stripes = (torch.arange(192) % 2).float().expand(1, 1, 192, 192)
    assert float(illumination_loss(stripes)) == pytest.approx(0, abs=1e-3)
