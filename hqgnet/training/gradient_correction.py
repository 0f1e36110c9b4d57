"""What a strategy adds to the gradients of local training, between backward pass and optimiser step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook


class GradientCorrection(Protocol):
    """Changes gradients in place."""

    def correct(self, parameters: Iterable[Parameter]) -> None:
        """Correct the gradients of those ``parameters`` that have one and that the correction is for.

        Args:
            parameters: The ones that an optimiser is about to move.
        """
        ...


@contextmanager
def correcting(corrections: Iterable[GradientCorrection]) -> Iterator[None]:
    """Correct gradients before every optimiser's step, for as long as the context lasts.

    A correction knows its parameters, so that it does not matter whose optimiser moves them, nor how many
    there are.

    Args:
        corrections: Applied in this order.
    """
    applied = tuple(corrections)

    def before_step(optimizer: Optimizer, arguments: Any, options: Any) -> None:
        for correction in applied:
            for group in optimizer.param_groups:
                correction.correct(group["params"])

    if not applied:
        yield
        return
    handle = register_optimizer_step_pre_hook(before_step)
    try:
        yield
    finally:
        handle.remove()
