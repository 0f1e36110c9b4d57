"""Normalised self-attention over the frames of a clip (Ji et al., MICCAI 2021, arXiv 2105.08468).

In plain PyTorch, without the authors' CUDA extension; built from the published description.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormalizedSelfAttention(nn.Module):
    """The NS block: each position meets a dilated window around itself in all frames.

    Every head looks through a window of its own dilation. Values are summed with the *raw* scores, and the
    softmax of the scores, its largest entry over heads and window, only gates the projected sum. Positions
    outside of the image score 0.

    Decision: queries are normalised over the channels of their head, so that the weights fit clips of any
    number of frames.

    Args:
        width: Channels C, a multiple of the number of heads.
        dilations: Dilation of each head's window.
        window: Side of the window, odd.

    Raises:
        ValueError: ``width`` does not divide among the heads, or ``window`` is even.
    """

    def __init__(self, width: int, dilations: Sequence[int] = (1, 3, 5, 7), window: int = 7) -> None:
        super().__init__()
        if width % len(dilations) or not window % 2:
            raise ValueError(f"width {width} for {len(dilations)} heads, window {window}")
        self.query = nn.Conv2d(width, width, 1)
        self.key = nn.Conv2d(width, width, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.norm = nn.LayerNorm(width // len(dilations))
        self.project = nn.Conv2d(width, width, 1)
        self._dilations = tuple(dilations)
        self._window = window

    def forward(self, clips: Tensor) -> Tensor:
        """Return what is gathered for clips (B, T, C, H, W), in the same shape, without the residual."""
        frames = clips.flatten(0, 1)
        batch, length, width, *size = clips.shape
        heads = len(self._dilations)
        queries, keys, values = (
            layer(frames).view(batch * length, heads, width // heads, *size).unbind(1)
            for layer in (self.query, self.key, self.value)
        )
        gathered, peaks = zip(
            *(
                self._head(query, key, value, length, dilation)
                for query, key, value, dilation in zip(queries, keys, values, self._dilations, strict=True)
            ),
            strict=True,
        )
        gate = torch.stack(peaks).amax(dim=0).view(batch * length, 1, *size)
        projected: Tensor = self.project(torch.cat(gathered, dim=2).view(batch * length, width, *size))
        return (projected * gate).view_as(clips)

    def _head(
        self, query: Tensor, key: Tensor, value: Tensor, length: int, dilation: int
    ) -> tuple[Tensor, Tensor]:
        """One head: (B * T, D, H, W) each to the sums (B, T, D, H * W) and the peaks (B, T, H * W)."""
        depth = query.shape[1]
        query = self.norm(query.movedim(1, -1)).movedim(-1, 1).reshape(-1, length, depth, query[0, 0].numel())
        key, value = (self._windows(source, length, dilation) for source in (key, value))
        # b: clip, q: frame that asks, f: frame that answers, d: channel, w: place in the window, p: position.
        scores = torch.einsum("bqdp,bfdwp->bqfwp", query, key) / depth**0.5
        gathered = torch.einsum("bqfwp,bfdwp->bqdp", scores, value)
        return gathered, scores.flatten(2, 3).softmax(dim=2).amax(dim=2)

    def _windows(self, source: Tensor, length: int, dilation: int) -> Tensor:
        """Cut the window around each position: (B * T, D, H, W) to (B, T, D, window**2, H * W)."""
        padding = dilation * (self._window // 2)
        windows = F.unfold(source, self._window, dilation=dilation, padding=padding)
        return windows.view(-1, length, source.shape[1], self._window**2, windows.shape[-1])
