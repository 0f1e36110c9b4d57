"""Residual networks without their classifier, of any depth and width (He et al., arXiv 1512.03385).

ResNet-18 is the trunk of the cue extractor, ResNet-50 the encoder of the generator (Section III-A).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

BlockKind = Literal["basic", "bottleneck"]


def conv_norm(
    in_width: int, out_width: int, kernel: int, *, stride: int = 1, momentum: float, activation: bool = True
) -> nn.Sequential:
    """Return a padded convolution without bias, batch normalisation and, by choice, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_width, out_width, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_width, momentum=momentum),
    ]
    if activation:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """One residual block: basic (3x3, 3x3) or bottleneck (1x1, 3x3, 1x1).

    Args:
        in_width: Channels that come in.
        width: Channels inside.
        out_width: Channels that go out; equal to ``width`` in a basic block.
        stride: Of the first 3x3 convolution.
        kind: Which of the two.
        momentum: Of batch normalisation.
    """

    def __init__(
        self, in_width: int, width: int, out_width: int, *, stride: int = 1, kind: BlockKind, momentum: float
    ) -> None:
        super().__init__()
        if kind == "basic":
            self.body = nn.Sequential(
                conv_norm(in_width, width, 3, stride=stride, momentum=momentum),
                conv_norm(width, out_width, 3, momentum=momentum, activation=False),
            )
        else:
            self.body = nn.Sequential(
                conv_norm(in_width, width, 1, momentum=momentum),
                conv_norm(width, width, 3, stride=stride, momentum=momentum),
                conv_norm(width, out_width, 1, momentum=momentum, activation=False),
            )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_width != out_width:
            self.shortcut = conv_norm(
                in_width, out_width, 1, stride=stride, momentum=momentum, activation=False
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, H/stride, W/stride)."""
        return F.relu(self.body(features) + self.shortcut(features))


class ResNet(nn.Module):
    """A residual network without pooling head: stem, pool, four stages.

    Args:
        channels: Image channels C.
        stem_width: Channels after the 7x7 stem.
        stem_stride: Stride of the stem.
        widths: Inner width of each stage.
        blocks: Number of blocks in each stage.
        expansion: Outer width over inner width; 1 for basic blocks.
        kind: Which block.
        momentum: Of batch normalisation.
    """

    def __init__(
        self,
        channels: int,
        *,
        stem_width: int,
        stem_stride: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        expansion: int = 1,
        kind: BlockKind,
        momentum: float,
    ) -> None:
        super().__init__()
        self.stem = conv_norm(channels, stem_width, 7, stride=stem_stride, momentum=momentum)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        in_width = stem_width
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = nn.Sequential()
            for index in range(count):
                stride = 2 if level > 0 and index == 0 else 1
                stage.append(
                    ResidualBlock(
                        in_width, width, width * expansion, stride=stride, kind=kind, momentum=momentum
                    )
                )
                in_width = width * expansion
            self.stages.append(stage)
        initialize_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the last feature map (B, widths[3] * expansion, H/s, W/s) with s = 16 * stem_stride."""
        return self.pyramid(images)[1][-1]

    def pyramid(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the stem's features and f_1..f_4, each half as large as the one before.

        Args:
            images: ``(B, C, H, W)``.
        """
        stem = self.stem(images)
        features = self.pool(stem)
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        return stem, tuple(levels)


def initialize_convolutions(module: nn.Module) -> None:
    """Draw the weights of all convolutions so that ReLU keeps the features' size (arXiv 1502.01852)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
