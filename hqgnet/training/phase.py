"""What the three phases have in common, seen from the loop that drives them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hqgnet.data.batches import UnpairedBatches
from hqgnet.training.optimizers import NamedAdam

Losses = dict[str, Tensor]


class Phase(Protocol):
    """One phase of training at one site.

    Attributes:
        trained_groups: Parameter groups that a step changes.
        optimizers: The phase's optimisers by name; their moments are private to the site.
    """

    trained_groups: tuple[str, ...]
    optimizers: dict[str, NamedAdam]

    def step(self, batches: UnpairedBatches, index: int) -> Losses:
        """Take step ``index``, counted over the whole phase; return its losses, detached scalars."""
        ...


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which networks run: bfloat16 where ``precision`` asks for it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
