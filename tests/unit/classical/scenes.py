"""Pictures with known structure: soft background, thin dark vessels, a black border on demand."""

from __future__ import annotations

import torch
from torch import Tensor

from hqgnet.classical.illumination import box_mean


def scene(channels: int = 3, height: int = 64, width: int = 72) -> Tensor:
    """A picture (C, H, W) in [0.1, 0.9], always the same."""
    rows = torch.linspace(0, 1, height)[:, None]
    columns = torch.linspace(0, 1, width)
    background = 0.6 + 0.15 * torch.sin(3 * rows) * torch.cos(4 * columns)
    vessels = sum(
        torch.exp(-(((rows - offset - 0.1 * torch.sin(9 * columns)) / 0.02) ** 2))
        for offset in (0.2, 0.5, 0.8)
    )
    spots = torch.exp(-((rows - 0.4) ** 2 + (columns - 0.3) ** 2) / 0.004)
    grey = background - 0.35 * vessels + 0.25 * spots
    tint = torch.tensor([1.0, 0.75, 0.5])[:channels, None, None]
    return (grey * tint).clamp(0.1, 0.9)


def in_a_disc(image: Tensor, noise: float = 0.0) -> Tensor:
    """The picture as a fundus photograph: black outside of a disc, but for so much noise."""
    outside = ~disc(image)
    border = noise * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(outside, border, image)


def disc(image: Tensor) -> Tensor:
    """Where the disc is, (H, W)."""
    height, width = image.shape[-2:]
    rows, columns = torch.arange(height)[:, None] - height / 2, torch.arange(width) - width / 2
    return rows**2 + columns**2 < (0.45 * min(height, width)) ** 2


def structure(image: Tensor) -> Tensor:
    """What is left of a picture without its local mean."""
    batch = image[None]
    return (batch - box_mean(batch, 4))[0]


def likeness(first: Tensor, second: Tensor) -> float:
    """Correlation of two pictures' structure."""
    pair = torch.stack([structure(first).flatten(), structure(second).flatten()])
    return float(torch.corrcoef(pair)[0, 1])
