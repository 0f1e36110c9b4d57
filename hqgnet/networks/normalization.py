"""The paper's guided normalisation (AdaLIN, VIN), and a hold on batch normalisation's running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hqgnet.ranks import gathered, ranks_at_work

LEAKY_SLOPE = 0.2
EPSILON = 1e-5


def condition_layer(condition_dim: int, width: int, *, maps: bool) -> nn.Linear | nn.Conv2d:
    """Return a layer from vectors (B, D) to (B, width), or from maps (B, D, h, w) to (B, width, h, w)."""
    return nn.Conv2d(condition_dim, width, 1) if maps else nn.Linear(condition_dim, width)


def resized(maps: Tensor, like: Tensor) -> Tensor:
    """Return maps (B, D, h, w) at the height and width of ``like``, bilinear."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


class ChannelStatistics(nn.Module):
    """Variance and mean of each channel over all its pixels.

    A module without parameters, so that the tiles of one image can be given common statistics
    (:mod:`hqgnet.inference.pooled_statistics`).
    """

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return variance and mean, (B, C) each, of features (B, C, H, W)."""
        variance, mean = torch.var_mean(features, dim=(2, 3), correction=0)
        return variance, mean


class ChannelMean(nn.Module):
    """Mean of each channel over all its pixels; a module for the same reason."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean, (B, C), of features (B, C, H, W)."""
        return features.mean(dim=(2, 3))


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation (Eq. 5, 6): rho AdaIN + (1 - rho) AdaLN.

    Scale 1 + gamma(v_c) and shift beta(v_c) come from one linear layer that both share, so the operator is
    linear in its input once the statistics are known. The layer's statistics follow from the channels' (all
    channels have the same number of pixels), hence one pass over the features gives both and another applies
    x * a + b.

    rho starts at 0.5 and acts clamped to [0, 1]. A plain clamp would leave it without gradient once an
    optimiser step has carried it outside, so the gradient passes straight through the clamp, except where it
    points further out: rho can neither be stuck at the border nor drift away behind it. Where several
    processes share a batch, the gradient that counts is that of all of it.

    Args:
        features: Channels C of the feature map.
        condition_dim: Length D of the vector v_c, or channels of the maps that stand for it.
        maps: Guided by feature maps (B, D, h, w), so that scale and shift differ from place to place.
        fixed_rho: 1 gives AdaIN and 0 AdaLN alone (Table V d), without a parameter for rho; None learns it.
    """

    def __init__(
        self, features: int, condition_dim: int, *, maps: bool = False, fixed_rho: float | None = None
    ) -> None:
        super().__init__()
        self.statistics = ChannelStatistics()
        self.fc = condition_layer(condition_dim, 2 * features, maps=maps)
        # Small weights: the decoder starts as one that merely normalises, and learns how far guidance goes.
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)  # type: ignore[arg-type]
        if fixed_rho is None:
            self.rho = nn.Parameter(torch.tensor(0.5))
        else:
            self.register_buffer("rho", torch.tensor(fixed_rho), persistent=False)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Normalise ``features`` (B, C, H, W) under ``condition`` (B, D) or (B, D, h, w)."""
        gamma, beta = self.fc(condition).float().chunk(2, dim=1)
        # In float32 even for bfloat16 features: x * a and b may be large numbers that nearly cancel.
        wide = features.float()
        variance, mean = self.statistics(wide)
        layer_mean = mean.mean(dim=1, keepdim=True)
        layer_variance = variance.mean(dim=1, keepdim=True) + mean.var(dim=1, keepdim=True, correction=0)
        rho = self._clamped_rho()
        instance_weight = rho * torch.rsqrt(variance + EPSILON)
        layer_weight = (1.0 - rho) * torch.rsqrt(layer_variance + EPSILON)
        scale = 1.0 + gamma
        slope = instance_weight + layer_weight
        centre = instance_weight * mean + layer_weight * layer_mean
        if scale.ndim == wide.ndim:
            scale, beta = resized(scale, wide), resized(beta, wide)
            slope, centre = slope[:, :, None, None], centre[:, :, None, None]
        factor, offset = scale * slope, beta - scale * centre
        if factor.ndim != wide.ndim:
            factor, offset = factor[:, :, None, None], offset[:, :, None, None]
        return torch.addcmul(offset, wide, factor).to(features.dtype)

    def _clamped_rho(self) -> Tensor:
        value = self.rho.detach()
        rho: Tensor = self.rho + (value.clamp(0.0, 1.0) - value)
        if rho.requires_grad:

            def drop_outward(gradient: Tensor) -> Tensor:
                outward = ((value <= 0.0) & (gradient > 0.0)) | ((value >= 1.0) & (gradient < 0.0))
                return gradient.masked_fill(outward, 0.0)

            rho.register_hook(drop_outward)
            if ranks_at_work() is not None:
                # What comes back to the hook is then the mean over all shares, as the optimiser takes it: a
                # share by itself may point outwards where the whole batch does not.
                rho = gathered(rho).mean(dim=0)
        return rho


class VIN(nn.Module):
    """Variational information normalisation (Eq. 4, Fig. 3c): h_k = r_k + conv3(LeakyReLU(AdaLIN(r_k, v_c))).

    The equation leaves out the residual connection and the activation that the text and the figure show.

    Args:
        features: Channels C of the feature map.
        condition_dim: Length D of the vector v_c.
        normalization: What stands for AdaLIN: maps features and condition to features of the same shape.
    """

    def __init__(self, features: int, condition_dim: int, normalization: nn.Module | None = None) -> None:
        super().__init__()
        self.normalization = normalization or AdaLIN(features, condition_dim)
        self.conv3 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return h_k (B, C, H, W) for r_k ``features`` (B, C, H, W) and v_c ``condition`` (B, D)."""
        normalized = F.leaky_relu(self.normalization(features, condition), LEAKY_SLOPE)
        hidden: Tensor = features + self.conv3(normalized)
        return hidden


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch normalisation untouched inside the context.

    Layers in training mode normalise by their batch as usual, layers in evaluation mode by their running
    statistics. Used when enhanced images are encoded again for a loss, so that the statistics describe real
    inputs only.

    Args:
        module: Whose batch normalisation layers, at any depth, are held.
    """
    # In training mode PyTorch hands a layer's buffers to the kernel only where it tracks statistics.
    held = [
        layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    for layer in held:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in held:
            layer.track_running_stats = True
