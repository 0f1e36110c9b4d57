"""The site's part of a strategy in one round: what corrects gradients, and what travels beside parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor
from torch.nn import Module

from client.refusals import RefusalError
from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays, to_arrays, to_tensors
from hqgnet.exchange.control import control_name, controlled, controlled_parameters
from hqgnet.exchange.update import SiteError
from hqgnet.training.control_variates import ControlVariates
from hqgnet.training.gradient_correction import GradientCorrection
from hqgnet.training.proximal import Proximal

_OWN = "control."


class SitePart:
    """What a strategy asks of a site in one round; most ask nothing.

    Args:
        networks: Hold the global parameters, as received; not yet trained.
        names: Of the parameters and buffers that the site receives with every round of the phase.
        federation: Names the strategy.
        arrays: All that came.
        counted: Gives the site's state after its latest update of the phase that counted: empty before the
            first, None if it is lost.
    """

    def __init__(
        self,
        networks: Module,
        names: Sequence[str],
        federation: FederationConfig,
        arrays: Arrays,
        counted: Callable[[], Mapping[str, Tensor] | None],
    ) -> None:
        self._control: ControlVariates | None = None
        self.corrections: tuple[GradientCorrection, ...] = ()
        if federation.strategy == "fedprox":
            self.corrections = (Proximal(networks, names, federation.proximal_mu),)
        if beside := controlled_parameters(networks, names, federation):
            shared = to_tensors({name: arrays[control_name(name)] for name in beside})
            private = counted()
            own = None if private is None else _own(private)
            self._control = ControlVariates(networks, shared, own)
            self.corrections = (self._control,)

    def outgoing(self, names: Sequence[str]) -> Arrays:
        """Return what leaves beside the trained parameters.

        Args:
            names: Of the parameters and buffers that this site sends.

        Raises:
            RefusalError: If a number is not finite.
        """
        if self._control is None:
            return {}
        tensors = self._control.outgoing()
        sent = [name for name in names if name in tensors]
        arrays = {control_name(name): array for name, array in to_arrays(tensors, sent).items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise RefusalError(SiteError.DIVERGED, "a gradient was not finite")
        return arrays

    def private_state(self) -> dict[str, Tensor]:
        """Return what the site's next round needs; it never leaves the site."""
        own = self._control.own() if self._control else {}
        return {f"{_OWN}{name}": value for name, value in own.items()}


def _own(private: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_OWN): value for name, value in private.items() if name.startswith(_OWN)}


def beside(networks: Module, names: Sequence[str], federation: FederationConfig) -> dict[str, str]:
    """Return what comes beside the parameters ``names``: by its name, the parameter whose form it has."""
    return {control_name(name): name for name in controlled_parameters(networks, names, federation)}


def parameters_of(arrays: Arrays) -> Arrays:
    """Return what came without what came beside it."""
    return {name: array for name, array in arrays.items() if controlled(name) is None}
