"""A light receptive field block (after Liu et al., arXiv 1711.07767).

PNS-Net reduces its backbone's features by such blocks. The published description leaves their inside open;
ours is said in :class:`LightReceptiveField`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.resnet import conv_norm

_KERNELS = (1, 3, 5, 7)


class LightReceptiveField(nn.Module):
    """Few channels that see near and far: branches of growing kernel and dilation beside a shortcut.

    Decision: each branch is a depthwise k x k convolution and a depthwise 3x3 one of dilation k, for k = 1,
    3, 5, 7, as centre and surround grow together in the published block; depthwise keeps it light.

    Args:
        in_width: Channels that come in.
        out_width: Channels that go out.
        momentum: Of batch normalisation.
    """

    def __init__(self, in_width: int, out_width: int, momentum: float) -> None:
        super().__init__()
        self.enter = conv_norm(in_width, out_width, 1, momentum=momentum)
        self.branches = nn.ModuleList(
            nn.Sequential(
                _depthwise(out_width, kernel, 1, momentum), _depthwise(out_width, 3, kernel, momentum)
            )
            for kernel in _KERNELS
        )
        self.join = conv_norm(len(_KERNELS) * out_width, out_width, 1, momentum=momentum, activation=False)
        self.shortcut = conv_norm(in_width, out_width, 1, momentum=momentum, activation=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, H, W)."""
        entered = self.enter(features)
        joined = self.join(torch.cat([branch(entered) for branch in self.branches], dim=1))
        return F.relu(joined + self.shortcut(features))


def _depthwise(width: int, kernel: int, dilation: int, momentum: float) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(width, width, kernel, padding=padding, dilation=dilation, groups=width, bias=False),
        nn.BatchNorm2d(width, momentum=momentum),
        nn.ReLU(inplace=True),
    )
