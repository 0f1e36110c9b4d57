"""SCAFFOLD at the site: control variates that take a site's drift out of its gradients (arXiv 1910.06378).

The site's own control variate c_i estimates its gradient at the global model, the server's c that of all
sites; each step's gradient g becomes g - c_i + c. Afterwards c_i is the mean of the uncorrected gradients of
the round. With plain SGD that is the paper's option II, c_i - c + (x - y_i) / (K eta), to the letter; unlike
it, it is a gradient with Adam too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import Module, Parameter


class ControlVariates:
    """Corrects a round's gradients, and gathers what the site's next control variate is made of.

    Args:
        networks: Where the parameters are.
        shared: The server's c by parameter's name; of those that travel.
        own: The site's c_i as :meth:`own` gave it after its latest round of the phase that counted; zero
            where absent. None if it is lost: then c, of which the lost one is a part, stands in for it.
    """

    def __init__(
        self, networks: Module, shared: Mapping[str, Tensor], own: Mapping[str, Tensor] | None
    ) -> None:
        self._shared = dict(shared)
        self._own = {
            name: control.clone() if own is None else own.get(name, torch.zeros_like(control))
            for name, control in shared.items()
        }
        self._names = {parameter: name for name, parameter in networks.named_parameters() if name in shared}
        self._corrections = {
            parameter: (self._shared[name] - self._own[name]).to(parameter)
            for parameter, name in self._names.items()
        }
        self._sums: dict[Parameter, Tensor] = {}
        self._steps: dict[Parameter, int] = {}

    @torch.no_grad()
    def correct(self, parameters: Iterable[Parameter]) -> None:
        """Note the gradients of the parameters, and correct them by c - c_i."""
        for parameter in parameters:
            correction = self._corrections.get(parameter)
            if correction is None or parameter.grad is None:
                continue
            if parameter in self._sums:
                self._sums[parameter].add_(parameter.grad)
            else:
                self._sums[parameter] = parameter.grad.detach().clone()
            self._steps[parameter] = self._steps.get(parameter, 0) + 1
            parameter.grad.add_(correction)

    def own(self) -> dict[str, Tensor]:
        """Return the site's next c_i by parameter's name, on the CPU; it stays at the site.

        A parameter that had no gradient in the round keeps the one it had.
        """
        own = dict(self._own)
        for parameter, total in self._sums.items():
            own[self._names[parameter]] = (total / self._steps[parameter]).cpu().contiguous()
        return own

    def outgoing(self) -> dict[str, Tensor]:
        """Return what goes to the server by parameter's name: c, moved by the change of c_i."""
        own = self.own()
        return {name: self._shared[name] + (own[name] - self._own[name]) for name in self._shared}
