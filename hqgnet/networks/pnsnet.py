"""PNS-Net, the polyp segmentor of still images and clips (Ji et al., MICCAI 2021, arXiv 2105.08468).

A backbone's middle layers, reduced to few channels; two blocks of normalised self-attention over the frames
of a clip, one after the other; a small decoder. Built from the published description.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.networks.normalized_attention import NormalizedSelfAttention
from hqgnet.networks.padding import pad_to_multiple
from hqgnet.networks.receptive_field import LightReceptiveField
from hqgnet.networks.res2net import Res2Net
from hqgnet.networks.resnet import ResNet, conv_norm, initialize_convolutions
from hqgnet.presets import PresetName

Backbone = Literal["res2net50", "resnet"]

_STRIDE = 16


@dataclass(frozen=True)
class PnsNumbers:
    """Every number that PNS-Net is built from.

    Attributes:
        stem_width: Channels after the backbone's stem.
        widths: Inner widths of the backbone's first three stages; the fourth is not needed.
        blocks: Blocks in each of them.
        expansion: Outer width of a stage over its inner width.
        low_width: Channels that the second stage (stride 8) is reduced to.
        high_width: Channels that the third stage (stride 16) is reduced to, a multiple of four.
        window: Side of the attention's window.
        momentum: Of batch normalisation.
    """

    stem_width: int = 64
    widths: tuple[int, int, int] = (64, 128, 256)
    blocks: tuple[int, int, int] = (3, 4, 6)
    expansion: int = 4
    low_width: int = 24
    high_width: int = 32
    window: int = 7
    momentum: float = 0.1


_PAPER = PnsNumbers()

PNSNET: dict[PresetName, PnsNumbers] = {
    "paper": _PAPER,
    "standard": _PAPER,
    "small": replace(_PAPER, stem_width=32, widths=(32, 64, 128), blocks=(2, 3, 4)),
    "tiny": PnsNumbers(
        stem_width=16,
        widths=(16, 24, 32),
        blocks=(1, 1, 1),
        expansion=2,
        low_width=12,
        high_width=16,
        window=5,
        momentum=0.2,
    ),
}
"""The presets of :mod:`hqgnet.presets`, for this network."""


class PnsNet(nn.Module):
    """PNS-Net: images or clips to segmentation logits.

    A still image is a clip of one frame, and those bypass the attention: nothing but convolutions runs, and
    the weights of the attention get no gradient.

    Args:
        channels: Image channels C.
        numbers: Widths and depths; the published ones by default.
        backbone: ``res2net50``, as published, or ``resnet``, plain bottleneck blocks of the same widths.

    Raises:
        ConfigurationError: There is no such backbone.
    """

    def __init__(self, channels: int, numbers: PnsNumbers = _PAPER, backbone: Backbone = "res2net50") -> None:
        super().__init__()
        momentum, low, high = numbers.momentum, numbers.low_width, numbers.high_width
        self.backbone = _backbone(channels, numbers, backbone)
        _, low_in, high_in = (width * numbers.expansion for width in numbers.widths)
        self.reduce_low = LightReceptiveField(low_in, low, momentum)
        self.reduce_high = LightReceptiveField(high_in, high, momentum)
        self.attention = nn.ModuleList(NormalizedSelfAttention(high, window=numbers.window) for _ in range(2))
        self.coarse = conv_norm(high, high, 3, momentum=momentum)
        self.fine = nn.Sequential(
            conv_norm(high + low, high, 3, momentum=momentum), conv_norm(high, low, 3, momentum=momentum)
        )
        # The attention keeps PyTorch's smaller weights: its raw scores multiply values over many positions.
        for part in (self.reduce_low, self.reduce_high, self.coarse, self.fine):
            initialize_convolutions(part)
        # After that, with PyTorch's smaller weights: the first logits must not be certain of anything.
        self.last = nn.Conv2d(low, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Segment still images or clips.

        Args:
            images: ``(B, C, H, W)`` or clips ``(B, T, C, H, W)``, in [0, 1], of any size.

        Returns:
            Logits, float32: ``(B, 1, H, W)``, or ``(B, T, 1, H, W)`` for clips.

        Raises:
            ValueError: Another number of dimensions.
        """
        if images.ndim not in (4, 5):
            raise ValueError(f"expected (B, C, H, W) or (B, T, C, H, W), got {tuple(images.shape)}")
        clips = images if images.ndim == 5 else images.unsqueeze(1)
        padded, padding = pad_to_multiple(clips.flatten(0, 1), _STRIDE)
        _, (_, low, high) = self.backbone.pyramid(padded)
        low, high = self.reduce_low(low), self.reduce_high(high)
        if clips.shape[1] > 1:
            high = self._attend(high.unflatten(0, clips.shape[:2])).flatten(0, 1)
        enlarged = F.interpolate(self.coarse(high), size=low.shape[-2:], mode="bilinear")
        features = self.fine(torch.cat([enlarged, low], dim=1))
        logits = F.interpolate(self.last(features).float(), size=padded.shape[-2:], mode="bilinear")
        logits = padding.crop(logits)
        return logits.unflatten(0, clips.shape[:2]) if images.ndim == 5 else logits

    def _attend(self, high: Tensor) -> Tensor:
        """Progress through both blocks, each beside its residual: without attention, ``high`` itself."""
        for block in self.attention:
            high = high + block(high)
        return high


def _backbone(channels: int, numbers: PnsNumbers, kind: Backbone) -> ResNet | Res2Net:
    if kind not in get_args(Backbone):
        remedy = f"Choose one of {', '.join(get_args(Backbone))}"
        raise ConfigurationError(Problem("pnsnet: backbone", f"unknown backbone '{kind}'", remedy))
    if kind == "res2net50":
        return Res2Net(
            channels,
            stem_width=numbers.stem_width,
            widths=numbers.widths,
            blocks=numbers.blocks,
            expansion=numbers.expansion,
            momentum=numbers.momentum,
        )
    return ResNet(
        channels,
        stem_width=numbers.stem_width,
        stem_stride=2,
        widths=numbers.widths,
        blocks=numbers.blocks,
        expansion=numbers.expansion,
        kind="bottleneck",
        momentum=numbers.momentum,
    )
