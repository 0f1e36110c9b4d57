"""Sums of losses, and where their gradients go."""

from __future__ import annotations

import pytest
import torch

from hqgnet.errors import ConfigurationError
from hqgnet.losses import EnhancementWeights, content_aware, cooperative_objective, enhancement_objective

HAAR, CONSISTENCY, ADVERSARIAL = (torch.tensor(value) for value in (0.2, 0.03, 0.7))


def test_defaults_are_the_papers() -> None:
    weights = EnhancementWeights()
    assert content_aware(HAAR, CONSISTENCY, weights).item() == pytest.approx(0.2 + 10 * 0.03)
    enhancement = enhancement_objective(HAAR, CONSISTENCY, ADVERSARIAL, weights)
    assert enhancement.item() == pytest.approx(0.5 + 0.7)
    assert cooperative_objective(torch.tensor(0.9), enhancement).item() == pytest.approx(0.9 + 5 * 1.2)


def test_weights_are_used() -> None:
    weights = EnhancementWeights(feature_consistency=0.0, adversarial=2.0)
    assert enhancement_objective(HAAR, CONSISTENCY, ADVERSARIAL, weights).item() == pytest.approx(1.6)
    halved = EnhancementWeights(structure=0.5)
    assert content_aware(HAAR, CONSISTENCY, halved).item() == pytest.approx(0.1 + 10 * 0.03)
    assert cooperative_objective(HAAR, ADVERSARIAL, enhancement_weight=0.5).item() == pytest.approx(0.55)


def test_cooperative_gradients_are_those_of_equations_17_and_18() -> None:
    """x_hat = omega_e y; L_d = (omega_d x_hat - t)^2; L_e = (x_hat - y)^2, derivatives worked out by hand."""
    y, target = 2.0, 1.0
    omega_e = torch.tensor(1.5, requires_grad=True)
    omega_d = torch.tensor(0.5, requires_grad=True)
    enhanced = omega_e * y
    downstream = (omega_d * enhanced - target) ** 2
    cooperative_objective(downstream, (enhanced - y) ** 2).backward()
    assert omega_d.grad is not None
    assert omega_e.grad is not None
    assert omega_d.grad.item() == pytest.approx(2 * (0.5 * 3.0 - 1.0) * 3.0)
    assert omega_e.grad.item() == pytest.approx(2 * (0.5 * 3.0 - 1.0) * 0.5 * y + 5 * 2 * (3.0 - y) * y)


def test_all_bad_weights_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        EnhancementWeights(feature_consistency=-1.0, adversarial=float("nan"))
    assert [problem.where for problem in caught.value.problems] == [
        "losses: feature_consistency",
        "losses: adversarial",
    ]
