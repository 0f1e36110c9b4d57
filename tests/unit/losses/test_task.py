"""Segmentation loss by hand and against MONAI's Dice loss."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses.dice import DiceLoss

from hqgnet.errors import ConfigurationError
from hqgnet.losses import grading_loss, segmentation_loss

LOGITS = torch.tensor([[math.log(3), 0.0], [-math.log(3), math.log(9)]]).view(1, 1, 2, 2)  # 0.75 0.5 0.25 0.9
MASK = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
DICE = (2 * (0.75 + 0.9) + 1) / (0.75 + 0.5 + 0.25 + 0.9 + 2 + 1)


def test_mse_dice_by_hand() -> None:
    squared_error = (0.25**2 + 0.5**2 + 0.25**2 + 0.1**2) / 4
    assert segmentation_loss(LOGITS, MASK).item() == pytest.approx(squared_error + 1 - DICE)


def test_bce_dice_by_hand() -> None:
    cross_entropy = -(math.log(0.75) + math.log(0.5) + math.log(0.75) + math.log(0.9)) / 4
    assert segmentation_loss(LOGITS, MASK, "bce_dice").item() == pytest.approx(cross_entropy + 1 - DICE)


def test_dice_part_is_an_image_as_in_monai() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((3, 1, 16, 12), generator=generator)
    mask = (
        torch.rand((3, 1, 16, 12), generator=generator) > torch.tensor([0.1, 0.5, 0.99]).view(3, 1, 1, 1)
    ).float()
    dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(logits, mask)
    error = torch.nn.functional.mse_loss(logits.sigmoid(), mask)
    assert segmentation_loss(logits, mask).item() == pytest.approx((dice + error).item(), rel=1e-6)


def test_empty_mask_with_empty_prediction_costs_nothing() -> None:
    logits = torch.full((1, 1, 8, 8), -30.0)
    for kind in ("mse_dice", "bce_dice"):
        assert segmentation_loss(logits, torch.zeros_like(logits), kind).item() == pytest.approx(0, abs=1e-6)


def test_bce_keeps_its_gradient_where_mse_has_lost_it() -> None:
    gradients = {}
    for kind in ("mse_dice", "bce_dice"):
        logits = torch.full((1, 1, 8, 8), -20.0, requires_grad=True)
        segmentation_loss(logits, torch.ones_like(logits), kind).backward()
        assert logits.grad is not None
        gradients[kind] = logits.grad.abs().sum().item()
    assert gradients["mse_dice"] < 1e-6
    assert gradients["bce_dice"] == pytest.approx(1, rel=1e-3)


def test_half_precision_logits_of_a_large_image() -> None:
    # 160,000 pixels summed in float16 would overflow at 65,504.
    logits = torch.full((1, 1, 400, 400), 12.0).half()
    assert segmentation_loss(logits, torch.ones(1, 1, 400, 400)).item() == pytest.approx(0, abs=1e-4)


def test_unknown_kind_and_other_shape_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"focal.*mse_dice, bce_dice"):
        segmentation_loss(LOGITS, MASK, "focal")
    with pytest.raises(ValueError, match="differ in shape"):
        segmentation_loss(LOGITS, MASK[0])


def test_bce_alone_is_pytorchs() -> None:
    logits, mask = torch.randn(2, 1, 6, 6), (torch.rand(2, 1, 6, 6) > 0.5).float()
    expected = torch.nn.BCEWithLogitsLoss()(logits, mask)
    torch.testing.assert_close(segmentation_loss(logits, mask, "bce"), expected)


def test_grading_sums_the_cross_entropy_of_all_heads() -> None:
    generator = torch.Generator().manual_seed(0)
    heads, grades = [torch.randn(3, 4, generator=generator) for _ in range(2)], torch.tensor([0, 3, 1])
    expected = 0.0
    for logits in heads:
        probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
        expected += sum(-float(probabilities[row, grade].log()) for row, grade in enumerate(grades)) / 3
    assert float(grading_loss(heads, grades)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="do not fit"):
        grading_loss([torch.randn(3, 1, 8, 8)], grades)
