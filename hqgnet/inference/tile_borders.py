"""Convolutions at the sides of a tile: its border is repeated where the image goes on."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.inference.pooled_statistics import Frame


class BorderedConvolution(nn.Module):
    """A convolution that pads with zeros at the image's border only, as it does when the whole image runs.

    At the other sides of a tile zeros would be a dark edge that is not there. The features' own border,
    repeated, is the better guess at what lies beyond.

    Args:
        convolution: With the same padding at all sides.
        frame: Says which tile runs, and how large the image is.
    """

    def __init__(self, convolution: nn.Conv2d, frame: Frame) -> None:
        super().__init__()
        self.convolution = convolution
        self._frame = frame

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, h, w) as the convolution does."""
        layer, frame = self.convolution, self._frame
        if frame.rows is None or frame.columns is None:
            convolved: Tensor = layer(features)
            return convolved
        inner = (
            frame.columns.start > 0,
            frame.columns.stop < frame.width,
            frame.rows.start > 0,
            frame.rows.stop < frame.height,
        )
        amount = int(layer.padding[0])
        features = F.pad(features, [amount * side for side in inner], mode="replicate")
        features = F.pad(features, [amount * (not side) for side in inner])
        return F.conv2d(features, layer.weight, layer.bias, layer.stride)


def mind_borders(network: nn.Module, frame: Frame) -> None:
    """Put :class:`BorderedConvolution` in the place of every padded convolution, at any depth."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.padding[0]:
                setattr(parent, name, BorderedConvolution(child, frame))
