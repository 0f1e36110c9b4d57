"""StillGAN's generator (Ma et al., IEEE TMI 2021, doi 10.1109/TMI.2021.3101937), built from its description.

A U-shaped network of residual blocks with instance normalisation. Two of them, from LQ to HQ and back, train
each other; the first alone enhances. The discriminators are those of :mod:`hqgnet.networks.discriminator`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.normalization import LEAKY_SLOPE
from hqgnet.networks.padding import pad_to_multiple
from hqgnet.presets import PresetName

RES_UNET_WIDTHS: dict[PresetName, tuple[int, ...]] = {
    "paper": (64, 128, 256, 512, 512, 512, 512, 512),
    "standard": (64, 128, 256, 512, 512, 512, 512, 512),
    "small": (32, 64, 128, 256, 256, 256),
    "tiny": (12, 24, 48, 64),
}
"""Channels of the levels by preset; ``paper`` and ``standard`` as published."""


class ResidualBlock(nn.Module):
    """3x3, instance normalisation, LeakyReLU, 3x3, instance normalisation; beside it 1x1 and normalisation.

    Args:
        in_width: Channels that come in.
        out_width: Channels that go out.
    """

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_width, out_width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(out_width),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(out_width, out_width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(out_width),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_width, out_width, 1, bias=False), nn.InstanceNorm2d(out_width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, H, W)."""
        return F.leaky_relu(self.body(features) + self.shortcut(features), LEAKY_SLOPE)


class ResUNet(nn.Module):
    """StillGAN's ResUNet: images to images.

    Max-pooling halves between levels, which is our decision, and nearest up-sampling doubles. HQG-Net's Table
    IV gives 58.38 M parameters and 94.73 G operations; this comes to 58.54 M and 128.85 GMACs, so some detail
    is another. The convolutions have no bias, which instance normalisation would take away.

    Args:
        widths: Channels of the levels, from the finest.
        channels: Image channels C.
    """

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.encoders = nn.ModuleList(ResidualBlock(*step) for step in pairwise((channels, *widths)))
        self.decoders = nn.ModuleList(
            ResidualBlock(coarse + fine, fine) for coarse, fine in pairwise(reversed(widths))
        )
        self.last = nn.Conv2d(widths[0], channels, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [0, 1], float32, for such images of any size."""
        # Instance normalisation needs two pixels a side where the features are coarsest.
        smallest = min(images.shape[-2:]) <= self.stride
        features, padding = pad_to_multiple(2.0 * images - 1.0, (2 if smallest else 1) * self.stride)
        skips = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(features if level == 0 else F.max_pool2d(features, 2))
            skips.append(features)
        for decoder, skip in zip(self.decoders, reversed(skips[:-1]), strict=True):
            larger = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = decoder(torch.cat([larger, skip], dim=1))
        # float32 before the squashing function: bfloat16 has fewer steps in [0, 1] than an 8-bit image.
        return (torch.tanh(padding.crop(self.last(features)).float()) + 1.0) / 2.0
