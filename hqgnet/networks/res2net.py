"""Res2Net: residual networks that see several scales in one block (Gao et al., arXiv 1904.01169).

The variant is the one that PNS-Net starts from: the 7x7 stem is replaced by three 3x3 convolutions, and the
shortcuts of strided blocks average before they project (arXiv 1812.01187). Built from the published
descriptions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.resnet import conv_norm, initialize_convolutions

SCALES = 4
"""Groups that a block splits its features into."""

_SPLIT_SHARE = 26 / 64
"""Width of one group over the inner width of a bottleneck block: 26 channels for 64 ("26w x 4s")."""


class Res2Block(nn.Module):
    """A bottleneck block whose 3x3 convolution works on groups, each fed with the result of the one before.

    In the first block of a stage, the groups are not chained, because sizes or meanings change there, and the
    group that is not convolved is averaged instead.

    Args:
        in_width: Channels that come in.
        width: Inner width of the bottleneck block that this one replaces.
        out_width: Channels that go out.
        stride: Of the 3x3 convolutions.
        first: Whether the block is the first of its stage.
        momentum: Of batch normalisation.
    """

    def __init__(
        self, in_width: int, width: int, out_width: int, *, stride: int = 1, first: bool, momentum: float
    ) -> None:
        super().__init__()
        split = max(1, int(width * _SPLIT_SHARE))
        self.enter = conv_norm(in_width, SCALES * split, 1, momentum=momentum)
        self.groups = nn.ModuleList(
            conv_norm(split, split, 3, stride=stride, momentum=momentum) for _ in range(SCALES - 1)
        )
        self.leave = conv_norm(SCALES * split, out_width, 1, momentum=momentum, activation=False)
        self.untouched: nn.Module = nn.AvgPool2d(3, stride, padding=1) if first else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if first:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                conv_norm(in_width, out_width, 1, momentum=momentum, activation=False),
            )
        self._first = first

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, H/stride, W/stride)."""
        *convolved, rest = self.enter(features).chunk(SCALES, dim=1)
        results: list[Tensor] = []
        for group, convolution in zip(convolved, self.groups, strict=True):
            chained = group if self._first or not results else group + results[-1]
            results.append(convolution(chained))
        results.append(self.untouched(rest))
        return F.relu(self.leave(torch.cat(results, dim=1)) + self.shortcut(features))


class Res2Net(nn.Module):
    """A Res2Net without pooling head, with the interface of :class:`~hqgnet.networks.resnet.ResNet`.

    Args:
        channels: Image channels C.
        stem_width: Channels after the stem.
        widths: Inner width of each stage; (64, 128, 256, 512) is Res2Net-50's.
        blocks: Number of blocks in each stage; (3, 4, 6, 3) is Res2Net-50's.
        expansion: Outer width over inner width.
        momentum: Of batch normalisation.
    """

    def __init__(
        self,
        channels: int,
        *,
        stem_width: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        expansion: int = 4,
        momentum: float,
    ) -> None:
        super().__init__()
        narrow = max(1, stem_width // 2)
        self.stem = nn.Sequential(
            conv_norm(channels, narrow, 3, stride=2, momentum=momentum),
            conv_norm(narrow, narrow, 3, momentum=momentum),
            conv_norm(narrow, stem_width, 3, momentum=momentum),
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        in_width = stem_width
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            out_width = width * expansion
            stage = nn.Sequential()
            for index in range(count):
                first = index == 0
                stride = 2 if first and level > 0 else 1
                stage.append(
                    Res2Block(in_width, width, out_width, stride=stride, first=first, momentum=momentum)
                )
                in_width = out_width
            self.stages.append(stage)
        initialize_convolutions(self)

    def pyramid(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the stem's features (stride 2) and those of each stage, from stride 4 on.

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
