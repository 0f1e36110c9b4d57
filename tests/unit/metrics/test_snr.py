"""Nerve SNR by hand and against brute-force rings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hqgnet.errors import ConfigurationError
from hqgnet.metrics.snr import PAPER_RADII, snr
from hqgnet.metrics.sums import MeanSums


def nerve(side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright diagonal nerve on noisy tissue, and its mask."""
    generator = torch.Generator().manual_seed(0)
    image = 0.2 + 0.1 * torch.rand((1, 1, side, side), generator=generator)
    mask = torch.zeros(1, 1, side, side)
    for i in range(8, side - 8):
        mask[0, 0, i, i : i + 2] = 1
    return torch.where(mask > 0, 0.8 + image * 0.2, image), mask


def test_ring_by_hand() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 0.8
    image[0, 0, 1, 2] = 0.2  # one of the four pixels at distance 1; the diagonal ones are at 1.41
    image[0, 0, 1, 1] = 1.0
    mask = torch.zeros(1, 1, 5, 5)
    mask[0, 0, 2, 2] = 1
    variance = np.var([0.2, 0.0, 0.0, 0.0])
    assert snr(image, mask, radius=1).item() == pytest.approx(10 * math.log10(0.64 / variance), rel=1e-6)


def test_authors_variant_by_hand() -> None:
    image = torch.full((1, 1, 7, 7), 0.5)
    image[0, 0, 3, 3] = 0.9
    mask = torch.zeros(1, 1, 7, 7)
    mask[0, 0, 3, 3] = 1
    # A 3 x 3 square adds eight pixels of 0.5; the other 41 count as zeros.
    variance = np.var([0.5] * 8 + [0.0] * 41)
    expected = 20 * math.log10(0.9 / math.sqrt(variance))
    assert snr(image, mask, radius=3, variant="authors").item() == pytest.approx(expected, rel=1e-6)
    assert math.isnan(snr(image, mask, radius=3).item())  # the ring alone is flat


@pytest.mark.parametrize("radius", PAPER_RADII)
def test_ring_is_truly_euclidean(radius: int) -> None:
    image, mask = nerve()
    on = np.argwhere(mask[0, 0].numpy() > 0)
    off = np.argwhere(mask[0, 0].numpy() == 0)
    distance = np.sqrt(((off[:, None] - on[None]) ** 2).sum(2)).min(1)
    ring = off[distance <= radius]
    pixels = image[0, 0].double().numpy()
    noise = pixels[ring[:, 0], ring[:, 1]]
    expected = 10 * math.log10(pixels[on[:, 0], on[:, 1]].max() ** 2 / noise.var())
    assert snr(image, mask, radius).item() == pytest.approx(expected, rel=1e-9)


def test_scale_does_not_matter_and_noise_does() -> None:
    image, mask = nerve()
    assert snr(image * 0.5, mask, 3).item() == pytest.approx(snr(image, mask, 3).item(), rel=1e-6)
    smoother = torch.where(mask > 0, image, 0.25 + (image - 0.25) * 0.1)
    assert snr(smoother, mask, 3).item() == pytest.approx(snr(image, mask, 3).item() + 20, abs=1e-4)


@pytest.mark.parametrize("variant", ["ring", "authors"])
def test_what_has_no_snr_is_undefined(variant: str) -> None:
    image, mask = nerve(32)
    blank, black, nan = torch.full_like(image, 0.3), torch.zeros_like(image), image.clone()
    nan[0, 0, 0, 0] = math.nan
    images = torch.cat([image, image, image, black, nan, blank])
    masks = torch.cat(
        [mask, torch.zeros_like(mask), torch.ones_like(mask), mask, mask, torch.zeros_like(mask)]
    )
    sums = MeanSums.of(snr(images, masks, 3, variant))
    assert (sums.count, sums.undefined) == (1, 5)
    assert sums.mean == pytest.approx(snr(image, mask, 3, variant).item(), abs=1e-8)


@pytest.mark.parametrize("level", [0.1, 0.3, 0.7])
def test_a_flat_ring_has_no_snr_at_any_level(level: float) -> None:
    _, mask = nerve()
    assert snr(torch.full((1, 3, 40, 40), level), mask, 3).isnan().all()


def test_impossible_choices_are_refused() -> None:
    image, mask = nerve()
    with pytest.raises(ConfigurationError, match=r"square.*ring, authors"):
        snr(image, mask, 3, "square")
    with pytest.raises(ConfigurationError, match="1 or more"):
        snr(image, mask, 0)
    with pytest.raises(ValueError, match="expected a mask"):
        snr(image, mask[..., :20], 3)
