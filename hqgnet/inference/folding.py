"""Batch normalisation folded into the convolution before it: the same numbers from one layer less."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Network = TypeVar("_Network", bound=nn.Module)


def folded(network: _Network) -> _Network:
    """Return a copy, in evaluation mode, without gradients, and with batch normalisation folded.

    In evaluation mode batch normalisation is one factor and one offset a channel, which a convolution's
    weight and bias can take in. That holds where it directly follows the convolution; behind an activation,
    as in EnlightenGAN's blocks, it stays.

    Args:
        network: Not changed.
    """
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(twin.modules()):
        if isinstance(module, nn.Sequential):
            _fold_within(module)
    return twin


def _fold_within(layers: nn.Sequential) -> None:
    for index in reversed(range(len(layers) - 1)):
        convolution, normalization = layers[index], layers[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
            layers[index] = fuse_conv_bn_eval(convolution, normalization)
            del layers[index + 1]
