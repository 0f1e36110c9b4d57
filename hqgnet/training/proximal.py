"""FedProx at the site: the local objective holds on to the global model (arXiv 1812.06127, Eq. 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch.nn import Module, Parameter


class Proximal:
    """Adds the gradient of mu/2 |w - w_global|^2, which is mu (w - w_global).

    Args:
        networks: Hold the global model, as received, when this is made; trained from there.
        names: Parameters that travel; others have no global value to hold on to.
        mu: How strongly.
    """

    def __init__(self, networks: Module, names: Collection[str], mu: float) -> None:
        wanted = set(names)
        self._mu = mu
        self._origins = {
            parameter: parameter.detach().clone()
            for name, parameter in networks.named_parameters()
            if name in wanted
        }

    @torch.no_grad()
    def correct(self, parameters: Iterable[Parameter]) -> None:
        """Add the proximal term to the gradients of the parameters."""
        for parameter in parameters:
            origin = self._origins.get(parameter)
            if origin is not None and parameter.grad is not None:
                parameter.grad.add_(parameter - origin, alpha=self._mu)
