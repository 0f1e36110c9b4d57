"""A classical method in a network's place, so that everything that takes an enhancer takes it too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hqgnet.classical import CLASSICAL
from hqgnet.method_config import ClassicalMethod


class ClassicalEnhancer(nn.Module):
    """Images to images, without parameters and without a gradient; it computes on the processor.

    Args:
        method: Which.
    """

    def __init__(self, method: ClassicalMethod) -> None:
        super().__init__()
        self._enhance = CLASSICAL[method]

    def forward(self, images: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [0, 1], float32, for such images of any size."""
        with torch.autocast("cpu", enabled=False):
            return self._enhance(images.float())
