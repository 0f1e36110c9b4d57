"""Consistency of the enhanced image's features with the joint guidance vector (Eq. 8)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.losses.precision import full_precision, without_autocast

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
    return gram_distance(enhanced_vector, joint_vector.detach())


def gram_distance(first: Tensor, second: Tensor) -> Tensor:
    """Frobenius distance of the Gram matrices of two vectors, mean over the batch; see above.

    Eq. 19 and 20 take it between two guides: of different HQ images (L_InterVar), or of two views of one
    (L_IntraVar). Both vectors carry the gradient.

    Args:
        first: (B, D).
        second: (B, D).

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: The vectors are not two (B, D) of the same shape.
    """
    _check(first, second)
    ours, target = full_precision(first), full_precision(second)
    total = ours + target
    difference = ours - target
    squared = (total.square().sum(1) * difference.square().sum(1) + (total * difference).sum(1).square()) / 2
    return squared.clamp_min(_SMALLEST).sqrt().mean() / ours.shape[1]


def feature_map_consistency_loss(enhanced_maps: Tensor, combined_maps: Tensor) -> Tensor:
    """Eq. 8 on feature maps in place of vectors (Table V e, Fig. 8), mean over the batch.

    The Gram matrix of maps F (C, h, w) is then that of style transfer (arXiv 1508.06576), F F^T over
    positions, / (C h w).

    Args:
        enhanced_maps: (B, C, h, w) of the enhanced image; carries the gradient.
        combined_maps: (B, C, h, w) of LQ and HQ image; detached here.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: The maps differ in shape.
    """
    if enhanced_maps.ndim != 4 or enhanced_maps.shape != combined_maps.shape:
        shapes = f"{tuple(enhanced_maps.shape)} and {tuple(combined_maps.shape)}"
        raise ValueError(f"expected two (B, C, h, w) maps of the same shape, got {shapes}")
    with without_autocast(enhanced_maps):
        difference = _gram(enhanced_maps) - _gram(combined_maps.detach())
    return difference.square().sum(dim=(1, 2)).clamp_min(_SMALLEST).sqrt().mean()


def _gram(maps: Tensor) -> Tensor:
    flat = full_precision(maps).flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


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
