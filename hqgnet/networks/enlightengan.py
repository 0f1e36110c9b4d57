"""EnlightenGAN's networks (Jiang et al., IEEE TIP 2021, arXiv 1906.06972), built from their description."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.normalization import LEAKY_SLOPE
from hqgnet.networks.padding import pad_to_multiple
from hqgnet.presets import PresetName

ATTENTION_UNET_WIDTHS: dict[PresetName, tuple[int, ...]] = {
    "paper": (32, 64, 128, 256, 512),
    "standard": (32, 64, 128, 256, 512),
    "small": (24, 48, 96, 192, 256),
    "tiny": (8, 16, 24, 32, 48),
}
"""Channels of the five levels by preset; ``paper`` and ``standard`` as published."""

_LUMINANCE = (0.299, 0.587, 0.114)
_KERNEL = 4
_WIDEST = 8


class AttentionUNet(nn.Module):
    """The attention-guided U-Net: the darker a place, the more it is enhanced.

    The attention is 1 - Y. It is an input beside the image; pooled, it multiplies the bottleneck and the
    skips; and it weighs what is added to the image: output = input + latent * attention. In training mode the
    output is left unclamped, for the losses' gradient, in evaluation mode it is clamped to [0, 1].

    Args:
        widths: Channels of the levels, from the finest.
        channels: Image channels C.
        momentum: Of batch normalisation.
    """

    def __init__(self, widths: tuple[int, ...], channels: int, momentum: float) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.encoders = nn.ModuleList(
            _double_convolution(*step, momentum=momentum) for step in pairwise((channels + 1, *widths))
        )
        steps = list(pairwise(reversed(widths)))
        self.reduce = nn.ModuleList(nn.Conv2d(coarse, fine, 3, padding=1) for coarse, fine in steps)
        self.decoders = nn.ModuleList(
            _double_convolution(2 * fine, fine, momentum=momentum) for _, fine in steps
        )
        self.last = nn.Conv2d(widths[0], channels, 1)
        # Small, not zero: the image starts nearly unchanged, yet the first step already reaches every layer.
        nn.init.normal_(self.last.weight, std=1e-3)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Return images (B, C, H, W), float32, for images in [0, 1] of any size."""
        padded, padding = pad_to_multiple(images, self.stride)
        attention = 1.0 - luminance(padded)
        features, level_attention, skips = torch.cat([padded, attention], dim=1), attention, []
        for level, encoder in enumerate(self.encoders):
            if level:
                features, level_attention = F.max_pool2d(features, 2), F.max_pool2d(level_attention, 2)
            features = encoder(features)
            skips.append(features * level_attention)
        features = skips.pop()
        for reduce, decoder, skip in zip(self.reduce, self.decoders, reversed(skips), strict=True):
            larger = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = decoder(torch.cat([reduce(larger), skip], dim=1))
        latent = self.last(features).float()
        enhanced = images + padding.crop(latent * attention)
        return enhanced if self.training else enhanced.clamp(0.0, 1.0)


class PlainDiscriminator(nn.Module):
    """A PatchGAN without normalisation: strided 4x4 convolutions, LeakyReLU 0.2, one logit a patch.

    Padding by two pixels lets images of any size through.

    Args:
        width: Channels of the first layer.
        layers: Strided convolutions.
        channels: Image channels C.
    """

    def __init__(self, width: int, layers: int, channels: int) -> None:
        super().__init__()
        widths = [width * min(2**level, _WIDEST) for level in range(layers + 1)]
        self.layers = nn.Sequential()
        for level, step in enumerate(pairwise((channels, *widths))):
            stride = 2 if level < layers else 1
            self.layers.extend(
                [nn.Conv2d(*step, _KERNEL, stride=stride, padding=2), nn.LeakyReLU(LEAKY_SLOPE)]
            )
        self.layers.append(nn.Conv2d(widths[-1], 1, _KERNEL, padding=2))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 1, h, w) for images (B, C, H, W) in [0, 1]."""
        logits: Tensor = self.layers(images)
        return logits


def luminance(images: Tensor) -> Tensor:
    """Return Y (B, 1, H, W) (ITU-R BT.601) of colour images, and grey images as they are."""
    if images.shape[1] == 1:
        return images
    weights = images.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _double_convolution(in_width: int, out_width: int, *, momentum: float) -> nn.Sequential:
    layers = nn.Sequential()
    for width in (in_width, out_width):
        layers.extend(
            [
                nn.Conv2d(width, out_width, 3, padding=1),
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.BatchNorm2d(out_width, momentum=momentum),
            ]
        )
    return layers
