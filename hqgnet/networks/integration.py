"""How guidance enters the decoder's features: AdaLIN, its two parts, and plainer ways (Table V d and e).

Each takes features (B, C, H, W) and a condition, (B, D) or maps (B, D, h, w), to features of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from hqgnet.method_config import Normalization
from hqgnet.networks.normalization import VIN, AdaLIN, condition_layer, resized


class Concatenate(nn.Module):
    """The condition at every pixel beside the features, and a 1x1 convolution back to C channels.

    Args:
        features: Channels C.
        condition_dim: Numbers or channels D of the condition.
        maps: The condition is maps.
    """

    def __init__(self, features: int, condition_dim: int, *, maps: bool) -> None:
        super().__init__()
        self.fc = condition_layer(condition_dim, features, maps=maps)
        self.fuse = nn.Conv2d(2 * features, features, 1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return features (B, C, H, W)."""
        spread = _spread(self.fc(condition), features)
        fused: Tensor = self.fuse(torch.cat([features, spread], dim=1))
        return fused


class Add(nn.Module):
    """The condition, brought to C channels, added at every pixel; arguments as for :class:`Concatenate`."""

    def __init__(self, features: int, condition_dim: int, *, maps: bool) -> None:
        super().__init__()
        self.fc = condition_layer(condition_dim, features, maps=maps)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return features (B, C, H, W)."""
        return features + _spread(self.fc(condition), features)


class Multiply(nn.Module):
    """The condition, brought to C channels, times the features; arguments as for :class:`Concatenate`.

    The factor starts near 1, so that features pass at first.
    """

    def __init__(self, features: int, condition_dim: int, *, maps: bool) -> None:
        super().__init__()
        self.fc = condition_layer(condition_dim, features, maps=maps)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.ones_(self.fc.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return features (B, C, H, W)."""
        return features * _spread(self.fc(condition), features)


class Unguided(nn.Module):
    """A level of the decoder without guidance: h_k = r_k (Table V d, without multi-scale)."""

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return ``features``."""
        return features


INTEGRATIONS: dict[Normalization, Callable[..., nn.Module]] = {
    "adalin": AdaLIN,
    "adain": partial(AdaLIN, fixed_rho=1.0),
    "adaln": partial(AdaLIN, fixed_rho=0.0),
    "concatenate": Concatenate,
    "add": Add,
    "multiply": Multiply,
}


def guided_level(kind: Normalization, features: int, condition_dim: int, *, maps: bool) -> VIN:
    """Return a VIN module in which ``kind`` stands for AdaLIN.

    Args:
        kind: How guidance enters.
        features: Channels C of r_k.
        condition_dim: Numbers or channels D of the condition.
        maps: The condition is maps.
    """
    return VIN(features, condition_dim, INTEGRATIONS[kind](features, condition_dim, maps=maps))


def _spread(condition: Tensor, like: Tensor) -> Tensor:
    if condition.ndim == like.ndim:
        return resized(condition, like)
    return condition[:, :, None, None].expand(-1, -1, *like.shape[-2:])
