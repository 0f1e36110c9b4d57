"""Adam as the paper sets it, and its moments as named tensors that a site can keep on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from hqgnet.config import Experiment, PhaseName
from hqgnet.ranks import average, ranks_at_work, spread
from hqgnet.training_config import TrainingConfig

_FUSED_ON = ("cpu", "cuda")


class NamedAdam:
    """Adam over named parameters, whose state is a flat mapping of tensors.

    Where several processes train together (:mod:`hqgnet.ranks`), the first alone has moments and moves: it
    takes the mean of all gradients, and gives the parameters back.

    Args:
        parameters: Names and parameters, in a fixed order.
        training: Gives the momentum terms.
        learning_rate: Step size.
    """

    def __init__(
        self, parameters: Iterator[tuple[str, nn.Parameter]], training: TrainingConfig, learning_rate: float
    ) -> None:
        self._named = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
        self._learning_rate = learning_rate
        parameters_only = [parameter for _, parameter in self._named]
        # One pass over parameter, gradient and moments in place of a dozen.
        fused = all(parameter.device.type in _FUSED_ON for parameter in parameters_only)
        self._adam = torch.optim.Adam(parameters_only, lr=learning_rate, betas=training.betas, fused=fused)

    @property
    def names(self) -> list[str]:
        """Names of the parameters, in order."""
        return [name for name, _ in self._named]

    def scale(self, factor: float) -> None:
        """Let the next steps be ``factor`` times as long as the learning rate says."""
        for group in self._adam.param_groups:
            group["lr"] = factor * self._learning_rate

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        self._adam.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Move the parameters once."""
        ranks = ranks_at_work()
        if ranks is None:
            self._adam.step()
            return
        moved = [parameter for _, parameter in self._named if parameter.grad is not None]
        average([parameter.grad for parameter in moved if parameter.grad is not None])
        if ranks.rank == 0:
            # Whatever corrects gradients does so in here, on their mean.
            self._adam.step()
        spread(moved)

    def state(self) -> dict[str, Tensor]:
        """Return moments and step counts as ``{parameter.moment: tensor}``; empty before the first step.

        They are contiguous, which in memory they need not be.
        """
        return {
            f"{name}.{moment}": value.detach().clone(memory_format=torch.contiguous_format)
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
                    moment: _placed(value, parameter, is_count=moment == "step")
                    for moment, value in moments.items()
                    if value is not None
                }


def discriminator_adam(discriminator: nn.Module, experiment: Experiment, phase: PhaseName) -> NamedAdam:
    """Return the optimiser of all that is adversarial, whose steps may be longer (arXiv 1706.08500)."""
    rate = experiment.discriminator_learning_rate(phase)
    return NamedAdam(discriminator.named_parameters("discriminator"), experiment.training, rate)


def _placed(value: Tensor, parameter: nn.Parameter, *, is_count: bool) -> Tensor:
    """Return a copy where fused Adam wants it: on the parameter's device, laid out in memory as it is.

    Fused Adam walks over the numbers as they lie in memory: moments laid out otherwise than their parameter
    would move the wrong weights.
    """
    if is_count:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
