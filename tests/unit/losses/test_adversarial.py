"""Adversarial losses by hand and against torch's binary cross-entropy on probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from hqgnet.errors import ConfigurationError
from hqgnet.losses import AdversarialLoss

REAL = torch.tensor([2.0, -1.0]).view(1, 1, 1, 2)
FAKE = torch.tensor([0.5, -3.0]).view(1, 1, 1, 2)


def sigmoid(logit: float) -> float:
    """Logistic function."""
    return 1 / (1 + math.exp(-logit))


def test_bce_by_hand() -> None:
    loss = AdversarialLoss("bce")
    on_real = -(math.log(sigmoid(2.0)) + math.log(sigmoid(-1.0))) / 2
    on_fake = -(math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(-3.0))) / 2
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(on_real + on_fake)
    assert loss.generator(FAKE).item() == pytest.approx(
        -(math.log(sigmoid(0.5)) + math.log(sigmoid(-3.0))) / 2
    )


def test_lsgan_by_hand() -> None:
    loss = AdversarialLoss("lsgan")
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx((1 + 4) / 2 + (0.25 + 9) / 2)
    assert loss.generator(FAKE).item() == pytest.approx((0.25 + 16) / 2)


@pytest.mark.parametrize(("kind", "equilibrium"), [("bce", 2 * math.log(2)), ("lsgan", 1.0)])
def test_undecided_discriminator(kind: str, equilibrium: float) -> None:
    zeros = torch.zeros(2, 1, 3, 3)
    assert AdversarialLoss(kind).discriminator(zeros, zeros).item() == pytest.approx(equilibrium)


def test_generator_still_learns_when_the_discriminator_is_sure() -> None:
    logits = torch.full((1, 1, 2, 2), -80.0, requires_grad=True)
    AdversarialLoss("bce").generator(logits).backward()
    assert logits.grad is not None
    assert logits.grad.sum().item() == pytest.approx(-1)


def test_half_precision_logits_are_raised() -> None:
    assert AdversarialLoss("lsgan").generator(torch.full((1, 1, 2, 2), 300.0).half()).item() == 299.0**2


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"hinge.*bce, lsgan"):
        AdversarialLoss("hinge")
