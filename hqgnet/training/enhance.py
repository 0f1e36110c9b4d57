"""Phase two: any enhancer against its discriminators, on unpaired LQ and HQ images (HQG-Net's Eq. 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hqgnet.training.protocols import Batches, Enhancer, Losses


class Enhance:
    """Adversarial training of an enhancer.

    Args:
        enhancer: Trained in place.
        device: Where its networks are.
    """

    def __init__(self, enhancer: Enhancer[Any], device: torch.device) -> None:
        self._enhancer = enhancer
        self._device = device
        self.optimizers = enhancer.optimizers

    def step(self, batches: Batches, index: int) -> Losses:
        """Update the discriminators, then what enhances, on one unpaired batch."""
        batch = batches.batch("enhance", index).to(self._device)
        enhanced = self._enhancer.forward(batch, index)
        losses = self._enhancer.update_adversaries(batch, enhanced)
        objective, parts = self._enhancer.objective(batch, enhanced)
        adam = self.optimizers["generator"]
        adam.zero_grad()
        objective.backward()
        adam.step()
        return losses | parts

    def private_tensors(self) -> dict[str, Tensor]:
        """Return the enhancer's."""
        return self._enhancer.private_tensors()

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the enhancer's."""
        self._enhancer.load_private_tensors(tensors)
