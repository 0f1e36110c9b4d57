"""Batch normalisation over the shares of all ranks.

``torch.nn.SyncBatchNorm`` does this on GPUs alone; this one runs wherever the ranks can exchange, and what
runs at hospitals is what the tests run on processors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.ranks import gathered, ranks_at_work


class SharedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose statistics in training are those of the whole batch, whoever holds its parts.

    Means and variances are taken of each share, and put together from there: no square of a mean is ever
    subtracted from a mean of squares, which would cost digits.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (B / ranks, C, H, W)."""
        if ranks_at_work() is None or not self.training:
            return super().forward(features)
        wide = features.float()
        variance, mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        means, variances = gathered(torch.stack([mean, variance])).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        # Not with running statistics held still (hqgnet.networks.frozen_statistics).
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach(), features)
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        # The mean first: x * a and a * mean would be large numbers that nearly cancel.
        normalised = (wide - mean[:, None, None]) * scale[:, None, None]
        if self.affine:
            normalised = normalised + self.bias[:, None, None]
        return normalised.to(features.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, features: Tensor) -> None:
        ranks = ranks_at_work()
        if self.running_mean is None or self.running_var is None or ranks is None:
            return
        count = ranks.count * features.numel() // features.shape[1]
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / max(1, count - 1), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def share_batch_norm(module: nn.Module) -> None:
    """Replace every batch normalisation of images inside ``module``; parameters and names stay.

    Raises:
        ConfigurationError: If there is batch normalisation of another kind, or one that averages without
            momentum, as a user's own downstream network may have.
    """
    for name, child in list(module.named_children()):
        share_batch_norm(child)
        if type(child) is nn.BatchNorm2d and child.momentum is not None:
            shared = SharedBatchNorm2d(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            shared.weight, shared.bias = child.weight, child.bias
            shared.running_mean, shared.running_var = child.running_mean, child.running_var
            shared.num_batches_tracked = child.num_batches_tracked
            shared.train(child.training)
            setattr(module, name, shared)
        elif isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, SharedBatchNorm2d):
            what = (
                f"batch normalisation {name!r} ({type(child).__name__}) cannot be shared by several processes"
            )
            remedy = "Name one device, or take a downstream network with nn.BatchNorm2d and a momentum"
            raise ConfigurationError(Problem("devices", what, remedy))
