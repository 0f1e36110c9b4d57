"""DeepGrading, the grader of corneal nerve tortuosity (Mou et al., "DeepGrading: Deep Learning Grading of
Corneal Nerve Tortuosity", IEEE Transactions on Medical Imaging, 2022).

A residual network with bilinear attention on the whole image, a small network on a region of interest, and a
linear fusion of their logits. Built from the published description.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.data.grades import LEVELS
from hqgnet.networks.bilinear_attention import BilinearAttention
from hqgnet.networks.csnet import SegmentationNetwork
from hqgnet.networks.region_of_interest import crop_windows, densest_windows
from hqgnet.networks.resnet import ResNet, initialize_convolutions
from hqgnet.presets import PRESETS, FourNumbers, PresetName

_TRUNK_CHANNELS = 3
_REGION_CHANNELS = 2


@dataclass(frozen=True)
class DeepGradingNumbers:
    """Every number that DeepGrading is built from.

    Attributes:
        image_size: The longer side of the image is brought to so many pixels.
        region_size: Side of the region of interest, in pixels of the image so resized.
        widths: Channels of the four stages of the residual network.
        blocks: Basic blocks in each of them.
        region_widths: Channels of the three blocks of the auxiliary network.
        bilinear_rank: See :class:`~hqgnet.networks.bilinear_attention.BilinearAttention`.
        segmentor: Preset of the inner segmentor, where none is given.
        momentum: Of batch normalisation.
    """

    image_size: int = 304
    region_size: int = 112
    widths: FourNumbers = (64, 128, 256, 512)
    blocks: FourNumbers = (2, 2, 2, 2)
    region_widths: tuple[int, int, int] = (64, 128, 128)
    bilinear_rank: int | None = None
    segmentor: PresetName = "paper"
    momentum: float = 0.1


_PAPER = DeepGradingNumbers()

DEEPGRADING: dict[PresetName, DeepGradingNumbers] = {
    "paper": _PAPER,
    "standard": replace(_PAPER, bilinear_rank=64),
    "small": replace(
        _PAPER, widths=(32, 64, 128, 256), region_widths=(32, 64, 64), bilinear_rank=32, segmentor="small"
    ),
    "tiny": DeepGradingNumbers(
        image_size=64,
        region_size=24,
        widths=(8, 16, 24, 32),
        blocks=(1, 1, 1, 1),
        region_widths=(8, 16, 16),
        bilinear_rank=8,
        segmentor="tiny",
        momentum=0.2,
    ),
}
"""The presets of :mod:`hqgnet.presets`, for this network; only ``paper`` has the full bilinear layer."""


class GradeLogits(NamedTuple):
    """Logits (B, levels) of the three heads and of their fusion.

    Decision: cross entropy is taken of all four (:func:`hqgnet.losses.grading_loss`), the answer's with equal
    weight, because the fusion layer learns from nothing else.

    Attributes:
        trunk: From the whole image, before attention.
        attended: From the whole image, after attention.
        region: From the region of interest.
        fused: The grader's answer, from the twelve logits above.
    """

    trunk: Tensor
    attended: Tensor
    region: Tensor
    fused: Tensor


class DeepGrading(nn.Module):
    """Images to logits of the levels of tortuosity.

    Decision: the twelve logits that are fused are those of three heads of four: before attention, after it,
    and of the region of interest. Decision: the region of interest is where the segmentation lies densest
    (:mod:`hqgnet.networks.region_of_interest`). Colour images are made grey by their mean.

    The gradient reaches the images through the segmentation as well, which is what cooperative training
    needs (Eq. 18); the choice of the region has none.

    Args:
        channels: Image channels C.
        numbers: Widths and sizes; the published ones by default.
        segmentor: Any network from images (B, C, H, W) to logits (B, 1, H, W), trained best; a fresh CS-Net
            by default, which learns from the grades alone.
        freeze_segmentor: Keep the segmentor as it is, in evaluation mode.
        bilinear_rank: Overrides the numbers' rank; 0 for the full layer, whatever the preset.
    """

    def __init__(
        self,
        channels: int,
        numbers: DeepGradingNumbers = _PAPER,
        *,
        segmentor: nn.Module | None = None,
        freeze_segmentor: bool = False,
        bilinear_rank: int | None = None,
    ) -> None:
        super().__init__()
        self.segmentor = segmentor or SegmentationNetwork(PRESETS[numbers.segmentor], channels)
        self.trunk = ResNet(
            _TRUNK_CHANNELS,
            stem_width=numbers.widths[0],
            stem_stride=2,
            widths=numbers.widths,
            blocks=numbers.blocks,
            kind="basic",
            momentum=numbers.momentum,
        )
        width = numbers.widths[3]
        rank = numbers.bilinear_rank if bilinear_rank is None else bilinear_rank or None
        self.attention = BilinearAttention(width, rank)
        self.trunk_head = nn.Linear(width, LEVELS)
        self.attended_head = nn.Linear(width, LEVELS)
        self.region = _region_network(numbers)
        self.fusion = nn.Linear(3 * LEVELS, LEVELS, bias=False)
        self._numbers = numbers
        self._segmentor_is_frozen = freeze_segmentor
        if freeze_segmentor:
            self.segmentor.requires_grad_(False)
            self.segmentor.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 4), float32, for images (B, C, H, W) in [0, 1], of any size."""
        return self.forward_parts(images).fused

    def forward_parts(self, images: Tensor) -> GradeLogits:
        """Return the logits of all heads, for the loss.

        Args:
            images: ``(B, C, H, W)`` in [0, 1], of any size. The segmentor sees them at their own size, the
                rest of the network with their longer side at ``image_size``.
        """
        probability = torch.sigmoid(self.segmentor(images).float())
        grey, probability = (
            self._resize(source) for source in (images.mean(dim=1, keepdim=True), probability)
        )
        features = self.trunk(torch.cat([grey, probability, grey], dim=1))
        side = self._numbers.region_size
        windows = densest_windows(probability, side)
        trunk = self.trunk_head(features.mean(dim=(2, 3)))
        attended = self.attended_head(self.attention(features).mean(dim=(2, 3)))
        region = self.region(crop_windows(torch.cat([grey, probability], dim=1), windows, side))
        fused = self.fusion(torch.cat([trunk, attended, region], dim=1))
        return GradeLogits(trunk.float(), attended.float(), region.float(), fused.float())

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation, a frozen segmentor excepted."""
        super().train(mode)
        if self._segmentor_is_frozen:
            self.segmentor.eval()
        return self

    def _resize(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        scale = self._numbers.image_size / max(height, width)
        if scale == 1:
            return images
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return F.interpolate(images, size=size, mode="bilinear", antialias=True)


def _region_network(numbers: DeepGradingNumbers) -> nn.Sequential:
    """Blocks of 5x5 convolutions with max-pooling between them, global average pooling, a linear layer."""
    layers = nn.Sequential()
    for index, (first, second) in enumerate(pairwise((_REGION_CHANNELS, *numbers.region_widths))):
        if index:
            layers.append(nn.MaxPool2d(2))
        layers.extend(
            [
                nn.Conv2d(first, second, 5, padding=2, bias=False),
                nn.BatchNorm2d(second, momentum=numbers.momentum),
                nn.ReLU(inplace=True),
            ]
        )
    layers.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(numbers.region_widths[-1], LEVELS)])
    initialize_convolutions(layers)
    return layers
