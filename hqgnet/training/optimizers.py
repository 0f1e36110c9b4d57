"""Adam as the paper sets it, and its moments as named tensors that a site can keep on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from hqgnet.config import TrainingConfig


class NamedAdam:
    """Adam over named parameters, whose state is a flat mapping of tensors.

    Args:
        parameters: Names and parameters, in a fixed order.
        training: Gives the momentum terms.
        learning_rate: Step size.
    """

    def __init__(
        self, parameters: Iterator[tuple[str, nn.Parameter]], training: TrainingConfig, learning_rate: float
    ) -> None:
        self._named = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
        self._adam = torch.optim.Adam(
            [parameter for _, parameter in self._named], lr=learning_rate, betas=training.betas, foreach=True
        )

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        self._adam.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Move the parameters once."""
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Return moments and step counts as ``{parameter.moment: tensor}``; empty before the first step."""
        return {
            f"{name}.{moment}": value.detach().clone()
            for name, parameter in self._named
            for moment, value in self._adam.state.get(parameter, {}).items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned; parameters without an entry start afresh."""
        self._adam.state.clear()
        for name, parameter in self._named:
            moments = {
                moment: tensors.get(f"{name}.{moment}") for moment in ("step", "exp_avg", "exp_avg_sq")
            }
            if all(
                value is not None and (m == "step" or value.shape == parameter.shape)
                for m, value in moments.items()
            ):
                self._adam.state[parameter] = {
                    # Adam keeps its step count on the CPU.
                    moment: value.clone() if moment == "step" else value.to(parameter.device, copy=True)
                    for moment, value in moments.items()
                    if value is not None
                }
