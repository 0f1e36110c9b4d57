"""Networks that a loss runs through and does not train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let no parameter of ``network`` have a gradient in what is computed meanwhile.

    They are trained again afterwards, whatever ends the block: a process that ran out of memory in one round
    goes on with the same networks in the next.
    """
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
