"""EnlightenGAN's self feature preserving loss (arXiv 1906.06972, Section III-B)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from hqgnet.losses.precision import full_precision


def self_feature_loss(enhanced_features: Tensor, input_features: Tensor) -> Tensor:
    """Mean squared difference of feature maps after instance normalisation.

    The features of the enhanced image are held to those of its own input: what the image shows is to stay,
    how bright it is may change, which the normalisation takes away.

    Args:
        enhanced_features: (B, F, h, w) of the enhanced images, with the gradient.
        input_features: (B, F, h, w) of their LQ images.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: The shapes differ, or maps have a single position, of which normalisation leaves nothing.
    """
    if enhanced_features.shape != input_features.shape:
        shapes = f"{tuple(enhanced_features.shape)} and {tuple(input_features.shape)}"
        raise ValueError(f"features {shapes} differ in shape")
    enhanced, given = (
        F.instance_norm(full_precision(features)) for features in (enhanced_features, input_features)
    )
    return F.mse_loss(enhanced, given)
