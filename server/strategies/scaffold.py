"""Stochastic controlled averaging."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.control import control_name, controlled
from server.spool import StoredUpdate
from server.strategies.base import Strategy

_WEIGHT = "weight."


class Scaffold(Strategy):
    """Averaging of steps that control variates have freed of each site's drift (arXiv 1910.06378, Alg. 1).

    The sites' part is :mod:`hqgnet.training.control_variates`; what travels,
    :mod:`hqgnet.exchange.control`. The server's control variate c of a parameter is the mean of the sites'
    own, c_i, of all sites that have sent one in the phase, weighted as their parameters are: the gradient of
    what averaging minimises. A site that stays away keeps its part; one that joins later gets its share.
    """

    def __init__(self, federation: FederationConfig, trained: Collection[str]) -> None:
        super().__init__(federation, trained)
        self._control: Arrays = {}
        self._weight: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}

    def beside(self, parameters: Mapping[str, Array]) -> Arrays:
        """Return the server's control variates; they begin at zero."""
        return {
            control_name(name): self._control.get(name, np.zeros_like(parameters[name]))
            for name in parameters
            if name in self._trained
        }

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return the weighted mean, and note the weight of those who sent each array, and of newcomers."""
        self._sent = {}
        for update in updates:
            for name in update.places:
                all_senders, newcomers = self._sent.get(name, (0, 0))
                newcomers += update.weight if update.first else 0
                self._sent[name] = all_senders + update.weight, newcomers
        return super().combine(updates)

    def step(self, current: Mapping[str, Array], combined: Mapping[str, Array]) -> Arrays:
        """Return the mean of the parameters, and keep that of the control variates."""
        stepped: Arrays = {}
        for name, array in combined.items():
            parameter = controlled(name)
            if parameter is None:
                stepped[name] = array
                continue
            senders, newcomers = self._sent[name]
            earlier = self._weight.get(parameter, 0)
            # No less than that of the senders: a site may begin to send a parameter later than others.
            whole = max(earlier + newcomers, senders)
            sent = self._control.get(parameter, np.zeros_like(array))
            # The sites' changes are of c_i, and came on top of the c that was sent.
            changed = earlier / whole * sent + senders / whole * (array - sent)
            self._control[parameter] = np.asarray(changed, np.float32)
            self._weight[parameter] = whole
        return stepped

    def state(self) -> Arrays:
        """Return the control variates under the names under which they travel, and their sites' weights."""
        state = {control_name(name): array for name, array in self._control.items()}
        for name, weight in self._weight.items():
            state[f"{_WEIGHT}{name}"] = np.array(weight, np.int64)
        return state

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take up what :meth:`state` gave."""
        self._control = {
            parameter: array for name, array in arrays.items() if (parameter := controlled(name)) is not None
        }
        self._weight = {
            name.removeprefix(_WEIGHT): int(array)
            for name, array in arrays.items()
            if name.startswith(_WEIGHT)
        }
