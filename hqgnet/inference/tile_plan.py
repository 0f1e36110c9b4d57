"""Where the tiles of an image lie, how they are blended, and which pixels each of them counts for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels.

    Attributes:
        start: First pixel.
        stop: Behind the last.
        core_start: First pixel that no other tile counts.
        core_stop: Behind the last of these; the cores of all tiles make up the axis.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int

    def core_at(self, scale: int) -> slice:
        """Return the core within the tile's features of stride ``scale``."""
        begin = self.start // scale
        return slice(round(self.core_start / scale) - begin, round(self.core_stop / scale) - begin)


@dataclass(frozen=True)
class TilePlan:
    """Overlapping tiles that cover an image, all of one size.

    Attributes:
        height: Of the image, a multiple of ``stride``.
        width: Likewise.
        tile: Side of the square tiles, a multiple of ``stride``; an axis shorter than it has one tile.
        overlap: Pixels that neighbours share at least.
        stride: Pixels of the image a pixel of the coarsest features: tiles begin at its multiples.
    """

    height: int
    width: int
    tile: int
    overlap: int
    stride: int

    @cached_property
    def tiles(self) -> list[tuple[Span, Span]]:
        """All tiles as spans of rows and of columns."""
        rows, columns = self._spans(self.height), self._spans(self.width)
        return [(row, column) for row in rows for column in columns]

    def weight(self, row: Span, column: Span) -> Tensor:
        """Return how much each pixel of a tile counts, ``(h, w)`` in (0, 1].

        At a side that has a neighbour it rises smoothly over the middle half of the overlap. The quarter next
        to the side hardly counts: convolutions have guessed there what lies beyond.
        """
        return self._ramp(row, self.height)[:, None] * self._ramp(column, self.width)

    def _spans(self, length: int) -> list[Span]:
        side = min(self.tile, length)
        # In units of the stride. Starts are spread evenly, so that all overlaps are about alike.
        way, step = (length - side) // self.stride, (self.tile - self.overlap) // self.stride
        count = -(-way // step)
        starts = [index * way // max(1, count) * self.stride for index in range(count + 1)]
        borders = [(first + side + second) // 2 for first, second in pairwise(starts)]
        edges = [0, *borders, length]
        return [
            Span(start, start + side, begin, end)
            for start, (begin, end) in zip(starts, pairwise(edges), strict=True)
        ]

    def _ramp(self, span: Span, length: int) -> Tensor:
        position = torch.arange(span.stop - span.start) + 0.5
        ramp = torch.ones_like(position)
        if self.overlap:
            for has_neighbour, distance in (
                (span.start > 0, position),
                (span.stop < length, position.flip(0)),
            ):
                if has_neighbour:
                    rise = ((distance / self.overlap - 0.25) * 2.0).clamp(0.0, 1.0)
                    ramp = ramp * (rise * rise * (3.0 - 2.0 * rise)).clamp_min(1e-6)
        return ramp
