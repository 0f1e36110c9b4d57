"""What the three phases have in common, seen from the loop that drives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from hqgnet.training.optimizers import NamedAdam
from hqgnet.training.protocols import Batches, Losses


class Phase(Protocol):
    """One phase of training at one site.

    Attributes:
        optimizers: The phase's optimisers by name; their moments are private to the site.
    """

    optimizers: dict[str, NamedAdam]

    def step(self, batches: Batches, index: int) -> Losses:
        """Take step ``index``, counted over the whole phase; return its losses, detached scalars."""
        ...

    def private_tensors(self) -> dict[str, Tensor]:
        """Return what the next steps depend on beside parameters and moments; it never leaves the site."""
        ...

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore :meth:`private_tensors`; an empty mapping begins afresh."""
        ...


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which networks run: bfloat16 where ``precision`` asks for it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
