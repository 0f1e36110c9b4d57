"""Statistics of a whole image for networks that see it tile by tile.

AdaLIN, instance normalisation and v_y take means and variances over the whole image. Of a single tile these
are others, and tiles would differ in light and contrast where they meet. Here every such statistic is
gathered over all tiles, each pixel once, and then given to all of them.

A statistic depends on the earlier ones of the network, not on later ones: with the tiles run again and again,
each run (a sweep) makes at least the next statistic exact, and all of them before long. Behind the last
statistic a sweep has nothing to learn, and ends; the run that gives the image gathers none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hqgnet.inference.tile_plan import Span
from hqgnet.networks.normalization import ChannelMean, ChannelStatistics

_SMALLEST = 1e-12


@dataclass
class Frame:
    """The tile that runs at the moment, shared by all layers that must know it.

    Attributes:
        height: Of the whole image, in pixels.
        width: Likewise.
        rows: Of the tile; None while a whole image runs.
        columns: Of the tile.
        awaited: How many statistics the tile has still to give in a sweep; 0 outside of sweeps.
    """

    height: int = 0
    width: int = 0
    rows: Span | None = None
    columns: Span | None = None
    awaited: int = 0


class SweptError(Exception):
    """Raised within a network when the running tile has given its last statistic: it need not go on."""


class Pooled(nn.Module):
    """Mean and variance of each channel, gathered over tiles in float64.

    Args:
        frame: Says which tile runs.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame
        self._given: tuple[Tensor, Tensor] | None = None
        self._gathered: tuple[int, Tensor, Tensor] | None = None

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return variance and mean (B, C) of the whole image; in a sweep gather those of the tile.

        Args:
            features: Of the tile, ``(B, C, h, w)``.

        Raises:
            SweptError: If these were the last ones that a sweep awaits.
        """
        if self._frame.awaited:
            self._gather(features.float())
            self._frame.awaited -= 1
            if not self._frame.awaited:
                raise SweptError
        if self._given is None:
            variance, mean = torch.var_mean(features.float(), dim=(2, 3), correction=0)
            return variance, mean
        return self._given

    def forget(self) -> None:
        """Give what was given before any sweep: each tile its own, for the first sweep of another image."""
        self._given = self._gathered = None

    def settle(self) -> float:
        """Give all tiles what has been gathered from now on.

        Returns:
            How far that lies from what was given before, in standard deviations; infinite the first time.
        """
        if self._gathered is None:
            return 0.0
        count, mean, squares = self._gathered
        variance = squares / count
        change = float("inf")
        if self._given is not None:
            deviation = variance.sqrt().clamp_min(_SMALLEST)
            old_deviation, old_mean = self._given[0].double().sqrt(), self._given[1].double()
            # Mean over the channels: a channel that is nearly constant has no scale to be judged by.
            shift = (mean - old_mean).abs() + (deviation - old_deviation).abs()
            change = float(shift.sum() / deviation.sum())
        self._given, self._gathered = (variance.float(), mean.float()), None
        return change

    def _gather(self, features: Tensor) -> None:
        rows, columns = self._frame.rows, self._frame.columns
        if rows is not None and columns is not None:
            scale = (rows.stop - rows.start) // features.shape[-2]
            features = features[..., rows.core_at(scale), columns.core_at(scale)]
        count = features.shape[-2] * features.shape[-1]
        if not count:
            return
        variance, mean = torch.var_mean(features.double(), dim=(2, 3), correction=0)
        squares = variance * count
        if self._gathered is not None:
            # Two groups joined without the cancellation of sums of squares (Chan, Golub, LeVeque 1979).
            before, old_mean, old_squares = self._gathered
            gap, total = mean - old_mean, before + count
            squares = old_squares + squares + gap.square() * (before * count / total)
            mean, count = old_mean + gap * (count / total), total
        self._gathered = (count, mean, squares)


class PooledStatistics(Pooled):
    """Stands for :class:`hqgnet.networks.normalization.ChannelStatistics`."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return variance and mean, (B, C) each, of the whole image."""
        return self.statistics(features)


class PooledMean(Pooled):
    """Stands for :class:`hqgnet.networks.normalization.ChannelMean`."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean, (B, C), of the whole image."""
        return self.statistics(features)[1].to(features.dtype)


class PooledInstanceNorm(Pooled):
    """Stands for instance normalisation without parameters.

    Args:
        frame: Says which tile runs.
        epsilon: Added to the variance.
    """

    def __init__(self, frame: Frame, epsilon: float) -> None:
        super().__init__(frame)
        self._epsilon = epsilon

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (B, C, h, w) by the whole image's statistics."""
        variance, mean = self.statistics(features)
        factor = torch.rsqrt(variance + self._epsilon)[:, :, None, None]
        return ((features.float() - mean[:, :, None, None]) * factor).to(features.dtype)


def pool_statistics(network: nn.Module, frame: Frame) -> list[Pooled]:
    """Put pooled statistics in the place of all statistics of one image, at any depth of ``network``.

    Returns:
        What was put in, in the order of the network's modules; empty for one without such statistics.
    """
    pooled: list[Pooled] = []
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            stand_in: Pooled | None = None
            if isinstance(child, ChannelStatistics):
                stand_in = PooledStatistics(frame)
            elif isinstance(child, ChannelMean):
                stand_in = PooledMean(frame)
            elif isinstance(child, nn.InstanceNorm2d):
                stand_in = PooledInstanceNorm(frame, child.eps)
            if stand_in is not None:
                setattr(parent, name, stand_in)
                pooled.append(stand_in)
    return pooled
