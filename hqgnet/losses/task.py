"""Losses of the downstream networks, L_d of Eq. 15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.losses.precision import full_precision

SegmentationLossKind = Literal["mse_dice", "bce_dice", "bce"]

_SMOOTH = 1.0
"""Pixels added above and below the Dice fraction: an empty mask with an empty prediction is perfect, not 0 /
0."""


def segmentation_loss(logits: Tensor, mask: Tensor, kind: SegmentationLossKind = "mse_dice") -> Tensor:
    """Pixel error plus soft Dice loss, Dice an image, mean over the batch.

    Args:
        logits: (B, 1, H, W), before the sigmoid.
        mask: (B, 1, H, W) in {0, 1}.
        kind: ``mse_dice`` is the published CS-Net's (Mou et al., MICCAI 2019); ``bce_dice`` keeps its
            gradient where the sigmoid is saturated, which matters for vessels that are few pixels wide;
            ``bce``, without Dice, is the published PNS-Net's (arXiv 2105.08468).

    Returns:
        Scalar >= 0.

    Raises:
        ConfigurationError: The kind is unknown.
        ValueError: The shapes differ.
    """
    if kind not in get_args(SegmentationLossKind):
        known = ", ".join(get_args(SegmentationLossKind))
        problem = Problem("losses: segmentation kind", f"unknown kind '{kind}'", f"Choose one of {known}.")
        raise ConfigurationError(problem)
    if logits.shape != mask.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and mask {tuple(mask.shape)} differ in shape")
    logits = full_precision(logits)
    mask = mask.to(logits.dtype)
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, mask)
    probability = logits.sigmoid()
    if kind == "bce_dice":
        pixel_error = F.binary_cross_entropy_with_logits(logits, mask)
    else:
        pixel_error = F.mse_loss(probability, mask)
    overlap = (probability * mask).sum((1, 2, 3))
    size = probability.sum((1, 2, 3)) + mask.sum((1, 2, 3))
    dice = (2 * overlap + _SMOOTH) / (size + _SMOOTH)
    return pixel_error + (1 - dice).mean()


def grading_loss(logits: Sequence[Tensor], grades: Tensor) -> Tensor:
    """Cross entropy of a grader, summed over its heads, mean over the batch.

    Args:
        logits: (B, levels) of each head; one for a plain classifier. DeepGrading's three heads and their
            fusion count alike.
        grades: (B,) int64 from 0.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: The shapes do not fit.
    """
    shapes = [tuple(head.shape) for head in logits]
    if not shapes or any(len(shape) != 2 or shape[0] != grades.shape[0] for shape in shapes):
        raise ValueError(f"logits {shapes} do not fit {grades.shape[0]} grades")
    return torch.stack([F.cross_entropy(full_precision(head), grades) for head in logits]).sum()
