"""CS-Net, the segmentor (Mou et al., MICCAI 2019, doi 10.1007/978-3-030-32239-7_80; arXiv 2010.07486).

A U-shaped network of residual encoders with spatial and channel attention where it is coarsest. Built from
its published description.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.padding import pad_to_multiple
from hqgnet.networks.resnet import initialize_convolutions
from hqgnet.presets import NetworkNumbers

_STRIDE = 16
_QUERY_REDUCTION = 8


class SpatialAttention(nn.Module):
    """Every position gathers from all others: 1x3 queries meet 3x1 keys, softmax over positions.

    Args:
        width: Channels C.
        momentum: Of batch normalisation.
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        reduced = max(1, width // _QUERY_REDUCTION)
        self.query = nn.Sequential(
            nn.Conv2d(width, reduced, (1, 3), padding=(0, 1)),
            nn.BatchNorm2d(reduced, momentum=momentum),
            nn.ReLU(),
        )
        self.key = nn.Sequential(
            nn.Conv2d(width, reduced, (3, 1), padding=(1, 0)),
            nn.BatchNorm2d(reduced, momentum=momentum),
            nn.ReLU(),
        )
        self.value = nn.Conv2d(width, width, 1)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W); the input itself while ``weight`` is 0."""
        query, key, value = (layer(features).flatten(2) for layer in (self.query, self.key, self.value))
        attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        gathered = (value @ attention.transpose(1, 2)).view_as(features)
        attended: Tensor = features + self.weight * gathered
        return attended


class ChannelAttention(nn.Module):
    """Every channel gathers from those unlike it: softmax of the largest affinity minus the affinity."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W); the input itself while ``weight`` is 0."""
        flat = features.flatten(2)
        affinity = flat @ flat.transpose(1, 2)
        attention = torch.softmax(affinity.amax(dim=-1, keepdim=True) - affinity, dim=-1)
        return features + self.weight * (attention @ flat).view_as(features)


class ResidualEncoder(nn.Module):
    """Two 3x3 convolutions with batch normalisation and ReLU beside a 1x1 shortcut.

    Args:
        in_width: Channels that come in.
        out_width: Channels that go out.
        momentum: Of batch normalisation.
    """

    def __init__(self, in_width: int, out_width: int, momentum: float) -> None:
        super().__init__()
        self.body = _double_convolution(in_width, out_width, momentum)
        self.shortcut = nn.Conv2d(in_width, out_width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, H, W)."""
        return F.relu(self.body(features) + self.shortcut(features))


class CSNet(nn.Module):
    """CS-Net: images to segmentation logits.

    Decision: the two attentions are joined by concatenation and a 1x1 convolution, which the published number
    of parameters (8.93 M) asks for.

    Args:
        numbers: ``segmentor_widths``, 32-64-128-256-512 as published.
        channels: Image channels C.
        classes: Channels of the result; 1 for foreground against background.
    """

    def __init__(self, numbers: NetworkNumbers, channels: int, classes: int = 1) -> None:
        super().__init__()
        widths, momentum = numbers.segmentor_widths, numbers.normalization_momentum
        self.encoders = nn.ModuleList(
            ResidualEncoder(first, second, momentum) for first, second in pairwise((channels, *widths))
        )
        self.spatial = SpatialAttention(widths[-1], momentum)
        self.channel = ChannelAttention()
        self.fuse = nn.Conv2d(2 * widths[-1], widths[-1], 1)
        steps = list(pairwise(reversed(widths)))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in steps)
        self.decoders = nn.ModuleList(_double_convolution(2 * fine, fine, momentum) for _, fine in steps)
        initialize_convolutions(self)
        # After that, with PyTorch's smaller weights: the first logits must not be certain of anything.
        self.last = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes, H, W), float32, for images (B, C, H, W) in [0, 1], of any size."""
        features, padding = pad_to_multiple(images, _STRIDE)
        skips = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(features if level == 0 else F.max_pool2d(features, 2))
            skips.append(features)
        features = self.fuse(torch.cat([self.spatial(features), self.channel(features)], dim=1))
        for enlarge, decoder, skip in zip(self.enlarge, self.decoders, reversed(skips[:-1]), strict=True):
            features = decoder(torch.cat([enlarge(features), skip], dim=1))
        return padding.crop(self.last(features).float())


# The name under which the rest of the program knows its segmentor.
SegmentationNetwork = CSNet


def _double_convolution(in_width: int, out_width: int, momentum: float) -> nn.Sequential:
    layers = nn.Sequential()
    for width in (in_width, out_width):
        layers.extend(
            [
                nn.Conv2d(width, out_width, 3, padding=1),
                nn.BatchNorm2d(out_width, momentum=momentum),
                nn.ReLU(),
            ]
        )
    return layers
