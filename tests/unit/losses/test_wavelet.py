"""Haar details and loss against PyWavelets."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch

from hqgnet.errors import ConfigurationError
from hqgnet.losses import HaarLoss, haar_details
from hqgnet.losses.wavelet import SUB_BANDS


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 7, 8), (2, 1, 8, 5), (1, 3, 9, 11), (1, 1, 1, 1)])
def test_details_equal_pywt_for_even_and_odd_sides(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    details = haar_details(images)
    for sample in range(shape[0]):
        for channel in range(shape[1]):
            _, expected = pywt.dwt2(images[sample, channel].numpy(), "haar", mode="symmetric")
            np.testing.assert_allclose(details[sample, channel].numpy(), np.stack(expected), atol=1e-12)


def test_details_are_orthonormal_details_of_a_2x2_block() -> None:
    block = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).view(1, 1, 2, 2)
    # Rows differ by 3 and 6, columns by 1 and 4, the diagonals by 9 and 6; each over 2.
    assert haar_details(block).flatten().tolist() == pytest.approx([-4.5, -2.5, 1.5])


@pytest.mark.parametrize("bands", [("horizontal",), ("diagonal", "vertical"), SUB_BANDS])
def test_loss_is_the_mean_absolute_difference_of_the_chosen_bands(bands: tuple[str, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    enhanced, lq = torch.rand((2, 2, 3, 9, 6), dtype=torch.float64, generator=generator)
    ours, theirs = (pywt.dwt2(image.numpy(), "haar", axes=(-2, -1))[1] for image in (enhanced, lq))
    wanted = [SUB_BANDS.index(band) for band in bands]
    expected = np.mean([np.abs(ours[band] - theirs[band]).mean() for band in wanted])
    assert HaarLoss(bands)(enhanced, lq).item() == pytest.approx(expected, rel=1e-12)


def test_loss_ignores_brightness_and_switched_off_bands() -> None:
    lq = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    assert HaarLoss()(lq + 0.25, lq).item() == pytest.approx(0, abs=1e-6)
    stripes = (
        torch.tensor([0.0, 1.0]).repeat(4).expand(1, 1, 8, 8)
    )  # columns alternate: vertical details only
    assert HaarLoss({"horizontal", "diagonal"})(stripes, torch.zeros_like(stripes)).item() == 0
    assert HaarLoss({"vertical"})(stripes, torch.zeros_like(stripes)).item() == pytest.approx(1)


def test_loss_sends_its_gradient_to_the_enhanced_image() -> None:
    enhanced = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: HaarLoss()(image, torch.zeros_like(image)), enhanced)


def test_half_precision_is_raised_even_under_autocast() -> None:
    lq = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = haar_details(lq)
    assert lowered.dtype == torch.float32
    assert torch.equal(lowered, haar_details(lq))
    assert haar_details(lq.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("bands", [(), ("approximation",), "diagonals"])
def test_impossible_bands_are_refused(bands: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="sub"):
        HaarLoss(bands)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        HaarLoss()(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8))
