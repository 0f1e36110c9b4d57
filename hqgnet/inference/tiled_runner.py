"""Large images in tiles: memory is that of a tile, and no seam is seen."""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.inference.network import EnhancementNetwork, generator_stride
from hqgnet.inference.pooled_statistics import Frame, SweptError, pool_statistics
from hqgnet.inference.tile_borders import mind_borders
from hqgnet.inference.tile_plan import Span, TilePlan
from hqgnet.inference.torch_runner import Precision, TorchRunner
from hqgnet.model_file import Model
from hqgnet.networks.padding import pad_to_multiple

SETTLED = 0.02
"""Change of the statistics, in standard deviations, below which no further sweep is made."""


class TiledRunner:
    """Runs images that are larger than a tile in overlapping tiles, blended where they overlap.

    All tiles share the statistics of the whole image (:mod:`hqgnet.inference.pooled_statistics`), which takes
    a few sweeps over the tiles before the one that gives the image. What remains different from a run on the
    whole image: near a tile's sides convolutions see its border repeated in place of what lies beyond. It
    decays with the distance from the side, and so with the overlap.

    Args:
        model: Not changed; its device is used.
        precision: Of convolutions and linear layers.
        tile: Side of a tile, in pixels.
        overlap: Pixels that neighbouring tiles share at least.

    Raises:
        ConfigurationError: If tile and overlap do not fit the network, or the network cannot be tiled.
    """

    def __init__(self, model: Model, precision: Precision, *, tile: int, overlap: int) -> None:
        self._stride = generator_stride(model.networks)
        _check(model, tile, overlap, self._stride)
        self._tile, self._overlap = tile, overlap
        self._whole = TorchRunner(model, precision)
        self._network = _sharing_weights(self._whole.network)
        self._frame = Frame()
        mind_borders(self._network, self._frame)
        self._statistics = pool_statistics(self._network, self._frame)
        self._device = model.networks.device
        self.precision = precision
        self.channels = model.experiment.channels
        self.image_size = model.experiment.image_size
        self.sweeps = 0

    @torch.inference_mode()
    def run(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        """See :meth:`hqgnet.inference.runner.Runner.run`; ``sweeps`` says how many this one took."""
        self.sweeps = 0
        if max(images.shape[-2:]) <= self._tile or min(images.shape[-2:]) <= self._stride:
            return self._whole.run(images, guidance)
        padded, padding = pad_to_multiple(images, self._stride)
        height, width = padded.shape[-2:]
        plan = TilePlan(height, width, self._tile, self._overlap, self._stride)
        frame, statistics = self._frame, self._statistics
        frame.height, frame.width = height, width
        for one in statistics:
            one.forget()

        def tile_of(rows: Span, columns: Span) -> Tensor:
            frame.rows, frame.columns = rows, columns
            part = padded[..., rows.start : rows.stop, columns.start : columns.stop]
            batch = part.to(self._device, memory_format=torch.channels_last)
            enhanced: Tensor = self._network(batch, guidance)
            return enhanced.cpu()

        # The first sweep has only each tile's own statistics to go by; each one makes one more exact.
        for self.sweeps in range(1, len(statistics) + 1):
            for tile in plan.tiles:
                frame.awaited = len(statistics)
                with contextlib.suppress(SweptError):
                    tile_of(*tile)
            if max(one.settle() for one in statistics) < SETTLED:
                break
        frame.awaited = 0
        total, weights = torch.zeros_like(padded), torch.zeros(padded.shape[-2:])
        for rows, columns in plan.tiles:
            weight = plan.weight(rows, columns)
            place = (..., slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            total[place] += weight * tile_of(rows, columns)
            weights[place] += weight
        return padding.crop(total / weights)


def _sharing_weights(network: EnhancementNetwork) -> EnhancementNetwork:
    """Return a copy of a network whose layers can be replaced, of the same weights in memory."""
    weights = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, weights)


def _check(model: Model, tile: int, overlap: int, stride: int) -> None:
    problems = []
    if model.experiment.ablation.guidance_vector == "feature" and model.networks.guidance_size:
        what = "this model is guided by feature maps, which belong to places of the whole image"
        problems.append(Problem("--tile", what, "Leave --tile out"))
    if tile % stride or tile < 2 * stride:
        remedy = f"Give a multiple of {stride}, at least {2 * stride}"
        problems.append(Problem("--tile", f"{tile} does not fit this model", remedy))
    elif not 0 <= overlap <= tile - stride:
        remedy = f"Give 0 to {tile - stride} pixels"
        problems.append(Problem("--overlap", f"{overlap} does not fit tiles of {tile} pixels", remedy))
    if problems:
        raise ConfigurationError(problems)
