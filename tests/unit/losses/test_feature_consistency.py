"""Feature consistency against explicit Gram matrices in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqgnet.losses import (
    cosine,
    feature_consistency_loss,
    feature_map_consistency_loss,
    gram_distance,
)


def explicit(first: torch.Tensor, second: torch.Tensor) -> float:
    """Eq. 8 as printed, with D x D matrices."""
    a, b = first.detach().double().numpy(), second.detach().double().numpy()
    distances = [np.linalg.norm(np.outer(x, x) - np.outer(y, y)) / len(x) for x, y in zip(a, b, strict=True)]
    return float(np.mean(distances))


def vectors(batch: int = 4, dimension: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    """Two batches of normal vectors."""
    first, second = torch.randn((2, batch, dimension), generator=torch.Generator().manual_seed(0))
    return first, second


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_equals_explicit_gram_matrices(scale: float) -> None:
    first, second = vectors()
    loss = feature_consistency_loss(first * scale, second * scale)
    assert loss.item() == pytest.approx(explicit(first * scale, second * scale), rel=1e-5)


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_keeps_its_digits_for_nearly_equal_vectors(distance: float) -> None:
    first, noise = vectors()
    second = first + distance * noise
    loss = feature_consistency_loss(first, second).item()
    assert loss == pytest.approx(explicit(first, second), rel=1e-4)
    assert loss > 0


def test_hand_worked() -> None:
    # Gram matrices diag(1, 0) / 2 and diag(0, 1) / 2: distance sqrt(2) / 2.
    loss = feature_consistency_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert loss.item() == pytest.approx(2**0.5 / 2)


def test_equal_and_opposite_vectors_cost_nothing_and_have_a_finite_gradient() -> None:
    first, _ = vectors()
    for other in (first.clone(), -first, torch.zeros_like(first)):
        ours = (first if other.any() else torch.zeros_like(first)).clone().requires_grad_()
        loss = feature_consistency_loss(ours, other)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert ours.grad is not None
        assert torch.isfinite(ours.grad).all()


def test_gradient_flows_to_the_enhanced_vector_only_and_is_right() -> None:
    first, second = (vector[:2, :5].double().requires_grad_() for vector in vectors())
    feature_consistency_loss(first, second).backward()
    assert second.grad is None
    assert torch.autograd.gradcheck(lambda ours: feature_consistency_loss(ours, second.detach()), first)


def test_half_precision_vectors_do_not_overflow() -> None:
    first, second = ((vector * 100).half() for vector in vectors())
    loss = feature_consistency_loss(first, second)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(explicit(first, second), rel=1e-5)


def test_cosine_sees_the_sign_that_the_loss_does_not() -> None:
    first, _ = vectors()
    first.requires_grad_()
    assert cosine(first, -first).item() == pytest.approx(-1)
    assert cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])).item() == pytest.approx(0.5**0.5)
    assert cosine(first, torch.zeros_like(first)).item() == 0
    assert not cosine(first, first).requires_grad


@pytest.mark.parametrize("function", [cosine, feature_consistency_loss])
def test_shapes_must_agree(function: object) -> None:
    with pytest.raises(ValueError, match=r"\(B, D\)"):
        function(torch.zeros(2, 80), torch.zeros(1, 80))  # type: ignore[operator]


def test_gram_distance_teaches_both_vectors() -> None:
    first, second = (torch.randn(3, 5, requires_grad=True) for _ in range(2))
    distance = gram_distance(first, second)
    grams = [torch.einsum("bi,bj->bij", vector, vector) / 5 for vector in (first, second)]
    expected = (grams[0] - grams[1]).square().sum((1, 2)).sqrt().mean()
    torch.testing.assert_close(distance, expected)
    distance.backward()
    assert first.grad is not None and second.grad is not None
    assert float(first.grad.abs().max()) > 0 and float(second.grad.abs().max()) > 0


def test_feature_maps_are_compared_by_their_gram_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(2, 3, 4, 5, generator=generator, requires_grad=True) for _ in range(2))
    expected = 0.0
    for ours, target in zip(first, second, strict=True):
        difference = torch.zeros(3, 3)
        for row in range(4):
            for column in range(5):
                a, b = ours[:, row, column], target[:, row, column]
                difference = difference + (torch.outer(a, a) - torch.outer(b, b)) / (3 * 4 * 5)
        expected += float(difference.detach().norm()) / 2
    loss = feature_map_consistency_loss(first, second)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert first.grad is not None and second.grad is None
    with pytest.raises(ValueError, match="same shape"):
        feature_map_consistency_loss(first, second[:, :2])
