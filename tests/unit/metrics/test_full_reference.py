"""PSNR and SSIM against scikit-image and MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics.regression import PSNRMetric, SSIMMetric
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hqgnet.metrics.full_reference import psnr, ssim
from hqgnet.metrics.sums import MeanSums


def pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of smooth structure and noisy copies."""
    generator = torch.Generator().manual_seed(0)
    twin = torch.nn.functional.interpolate(torch.rand((*shape[:2], 6, 6), generator=generator), shape[2:])
    strength = torch.linspace(0.02, 0.2, shape[0]).view(-1, 1, 1, 1)
    return (twin + strength * torch.randn(shape, generator=generator)).clamp(0, 1), twin


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_equals_skimage_and_monai(channels: int) -> None:
    enhanced, twin = pair(3, channels, 33, 40)
    figures = psnr(enhanced, twin)
    assert figures.shape == (3,)
    expected = [
        peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=1.0)
        for a, b in zip(enhanced, twin, strict=True)
    ]
    np.testing.assert_allclose(figures.numpy(), expected, rtol=1e-6)
    assert figures.mean().item() == pytest.approx(
        PSNRMetric(max_val=1.0)(enhanced, twin).mean().item(), rel=1e-5
    )


def test_psnr_by_hand_and_of_identical_images() -> None:
    twin = torch.full((2, 1, 4, 4), 0.5)
    enhanced = torch.stack([twin[0] + 0.125, twin[1]])
    assert psnr(enhanced, twin).tolist() == pytest.approx([10 * math.log10(64), 100.0])


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_monai(channels: int) -> None:
    enhanced, twin = pair(3, channels, 33, 40)
    expected = SSIMMetric(spatial_dims=2, data_range=1.0)(enhanced, twin).flatten()
    assert torch.equal(ssim(enhanced, twin), expected)


def test_ssim_equals_skimage_inside_the_window_border() -> None:
    enhanced, twin = pair(1, 1, 48, 48)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, similarity = structural_similarity(
        enhanced[0, 0].double().numpy(), twin[0, 0].double().numpy(), full=True, **options
    )
    assert ssim(enhanced, twin).item() == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=1e-5)


def test_ssim_of_images_smaller_than_its_window_is_undefined() -> None:
    small = torch.rand(2, 1, 10, 50)
    assert MeanSums.of(ssim(small, small)) == MeanSums(undefined=2)
    assert ssim(torch.rand(1, 1, 11, 11), torch.rand(1, 1, 11, 11)).isfinite().all()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_constant_images_have_defined_figures(level: float) -> None:
    twin = torch.full((1, 3, 16, 16), level)
    assert psnr(twin, twin).item() == 100
    assert ssim(twin, twin).item() == pytest.approx(1)
    assert ssim(twin, 1 - twin).isfinite().all()


def test_a_nan_image_is_undefined_and_spoils_no_other() -> None:
    enhanced, twin = pair(2, 1, 16, 16)
    enhanced[0, 0, 2, 2] = math.nan
    for metric in (psnr, ssim):
        sums = MeanSums.of(metric(enhanced, twin))
        assert (sums.count, sums.undefined) == (1, 1)
        assert sums.mean == pytest.approx(metric(enhanced[1:], twin[1:]).item(), abs=1e-6)


def test_halves_merge_to_the_union_exactly() -> None:
    enhanced, twin = pair(5, 3, 20, 24)
    for metric in (psnr, ssim):
        each = [MeanSums.of(metric(enhanced[i : i + 1], twin[i : i + 1])) for i in range(5)]
        union = MeanSums.of(torch.cat([metric(enhanced[i : i + 1], twin[i : i + 1]) for i in range(5)]))
        assert (each[3] + each[0] + each[4]) + (each[1] + each[2]) == union


def test_shapes_must_agree() -> None:
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match="one shape"):
            metric(torch.zeros(1, 1, 16, 16), torch.zeros(1, 3, 16, 16))
