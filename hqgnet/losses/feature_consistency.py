"""Consistency of the enhanced image's features with the joint guidance vector (Eq. 8)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.losses.precision import full_precision

_SMALLEST = 1e-30
"""Squared norms below this count as zero: keeps the gradient of the root finite, and 0, at equality."""


def feature_consistency_loss(enhanced_vector: Tensor, joint_vector: Tensor) -> Tensor:
    """Frobenius distance of two Gram matrices, mean over the batch (Eq. 8).

    The Gram matrix of a vector v is v v^T / D. With s = a + b and d = a - b, a a^T - b b^T = (s d^T + d s^T)
    / 2, whose squared norm is (|s|^2 |d|^2 + (s.d)^2) / 2: the same number as |a|^4 + |b|^4 - 2 (a.b)^2,
    without its cancellation for near-equal vectors, and without a D x D matrix.

    The loss cannot tell v from -v; log ``cosine`` beside it.

    Args:
        enhanced_vector: v_xhat (B, D), the features of the enhanced image; carries the gradient.
        joint_vector: v_c (B, D); detached here, or both vectors could shrink to zero together.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: The vectors are not two (B, D) of the same shape.
    """
    _check(enhanced_vector, joint_vector)
    ours = full_precision(enhanced_vector)
    target = full_precision(joint_vector.detach())
    total = ours + target
    difference = ours - target
    squared = (total.square().sum(1) * difference.square().sum(1) + (total * difference).sum(1).square()) / 2
    return squared.clamp_min(_SMALLEST).sqrt().mean() / ours.shape[1]


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine of the angle between two batches of vectors, for the log; carries no gradient.

    Args:
        first: (B, D).
        second: (B, D).

    Returns:
        Scalar in [-1, 1]; a zero vector counts as 0.

    Raises:
        ValueError: The vectors are not two (B, D) of the same shape.
    """
    _check(first, second)
    with torch.no_grad():
        return F.cosine_similarity(full_precision(first), full_precision(second), dim=1).mean()


def _check(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"expected two (B, D) vectors, got {tuple(first.shape)} and {tuple(second.shape)}")
