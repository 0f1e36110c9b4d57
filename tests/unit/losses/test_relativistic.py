"""EnlightenGAN's relativistic least squares against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqgnet.losses import relativistic_loss


def test_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    higher, lower = rng.normal(size=(3, 1, 4, 5)), rng.normal(size=(2, 1, 4, 5))
    above = np.mean([(value - lower.mean() - 1) ** 2 for value in higher.ravel()])
    below = np.mean([(value - higher.mean()) ** 2 for value in lower.ravel()])
    found = relativistic_loss(torch.from_numpy(higher), torch.from_numpy(lower))
    assert float(found) == pytest.approx(above + below)


def test_no_difference_costs_one_and_the_right_one_nothing() -> None:
    even = torch.full((2, 1, 3, 3), 0.4)
    assert float(relativistic_loss(even, even)) == pytest.approx(1)
    # Higher by one: the first term vanishes, the second is 1; the least is between.
    losses = {gap: float(relativistic_loss(even + gap, even)) for gap in (0.0, 0.5, 1.0, 2.0)}
    assert min(losses, key=losses.__getitem__) == 0.5


def test_half_precision_logits_give_float32() -> None:
    logits = torch.rand(2, 1, 3, 3).bfloat16()
    assert relativistic_loss(logits, logits).dtype == torch.float32
