"""Reconstruction loss against scikit-image and MONAI."""

from __future__ import annotations

import pytest
import torch
from monai.losses.ssim_loss import SSIMLoss
from skimage.metrics import structural_similarity

from hqgnet.errors import ConfigurationError
from hqgnet.losses import ReconstructionLoss


def pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image of smooth structure and a noisy copy."""
    generator = torch.Generator().manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand((*shape[:2], 8, 8), generator=generator), shape[2:])
    return image, (image + 0.1 * torch.randn(shape, generator=generator)).clamp(0, 1)


def test_equals_mse_plus_monai_ssim_loss() -> None:
    image, noisy = pair(2, 3, 40, 32)
    expected = ((noisy - image) ** 2).mean() + SSIMLoss(spatial_dims=2)(noisy, image)
    assert ReconstructionLoss()(noisy, image).item() == pytest.approx(expected.item(), rel=1e-6)


def test_ssim_part_equals_skimage_inside_the_window_border() -> None:
    image, noisy = (batch.double() for batch in pair(1, 1, 48, 48))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, similarity = structural_similarity(noisy[0, 0].numpy(), image[0, 0].numpy(), full=True, **options)
    expected = ((noisy - image) ** 2).mean().item() + 1 - similarity[5:-5, 5:-5].mean()
    assert ReconstructionLoss()(noisy, image).item() == pytest.approx(expected, abs=1e-5)


def test_nothing_to_pay_for_a_perfect_copy() -> None:
    image, _ = pair(1, 3, 16, 16)
    assert ReconstructionLoss()(image, image).item() == pytest.approx(0, abs=1e-6)


def test_autocast_changes_nothing() -> None:
    image, noisy = pair(1, 1, 32, 32)
    loss = ReconstructionLoss()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = loss(noisy, image)
    assert lowered.item() == loss(noisy, image).item()


def test_a_step_down_the_gradient_lowers_the_loss() -> None:
    image, noisy = pair(1, 1, 32, 32)
    loss = ReconstructionLoss()
    noisy.requires_grad_()
    before = loss(noisy, image)
    before.backward()
    assert noisy.grad is not None
    assert loss(noisy.detach() - noisy.grad, image).item() < before.item()


def test_images_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="10x64"):
        ReconstructionLoss()(torch.zeros(1, 1, 10, 64), torch.zeros(1, 1, 10, 64))
    assert torch.isfinite(ReconstructionLoss()(torch.zeros(1, 1, 11, 11), torch.zeros(1, 1, 11, 11)))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        ReconstructionLoss()(torch.zeros(1, 1, 16, 16), torch.zeros(1, 3, 16, 16))
