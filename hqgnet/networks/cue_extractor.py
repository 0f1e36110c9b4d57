"""The high-quality cue extractor G (Section III-A, Eq. 1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.resnet import ResNet
from hqgnet.presets import NetworkNumbers

CUE_STRIDE = 32
CUE_GRID = 8
"""Height and width of the feature maps that guide where vectors do not (Fig. 8): the same for every image."""


class CueExtractor(nn.Module):
    """G: a ResNet-18 trunk, global average pooling and a linear layer to the guidance vector v_z.

    The trunk is pretrained as the encoder of an autoencoder (:mod:`hqgnet.networks.autoencoder`); the linear
    layer lies outside of it and learns in the phases that follow.

    Args:
        numbers: Widths and depths.
        channels: Image channels C, 1 or 3.
    """

    def __init__(self, numbers: NetworkNumbers, channels: int) -> None:
        super().__init__()
        self.trunk = ResNet(
            channels,
            stem_width=numbers.cue_widths[0],
            stem_stride=2,
            widths=numbers.cue_widths,
            blocks=numbers.cue_blocks,
            kind="basic",
            momentum=numbers.normalization_momentum,
        )
        self.fc = nn.Linear(numbers.cue_widths[3], numbers.guidance_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return v_z (B, guidance_dim) of images (B, C, H, W) in [0, 1], of any size."""
        return self.vector(self.trunk(images))

    def vector(self, features: Tensor) -> Tensor:
        """Return v_z (B, guidance_dim) of the trunk's features."""
        guidance: Tensor = self.fc(features.mean(dim=(2, 3)))
        return guidance

    def grid(self, features: Tensor) -> Tensor:
        """Return the trunk's features, pooled to 8x8 and flattened: (B, 64 * cue_widths[3])."""
        return F.adaptive_avg_pool2d(features, CUE_GRID).flatten(1)
