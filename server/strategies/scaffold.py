"""Stochastic controlled averaging."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.control import control_name, controlled
from server.spool import StoredUpdate
from server.strategies.base import Strategy

_SITES = "sites."


class Scaffold(Strategy):
    """Averaging of steps that control variates have freed of each site's drift (arXiv 1910.06378, Alg. 1).

    The sites' part is :mod:`hqgnet.training.control_variates`; what travels,
    :mod:`hqgnet.exchange.control`. The server's control variate of a parameter moves by the mean of the
    sites' changes, times the share of the sites that have sent one: of as many as ever did in one round of
    the phase.
    """

    def __init__(self, federation: FederationConfig, trained: Collection[str]) -> None:
        super().__init__(federation, trained)
        self._control: Arrays = {}
        self._most: dict[str, int] = {}
        self._senders: Counter[str] = Counter()

    def beside(self, parameters: Mapping[str, Array]) -> Arrays:
        """Return the server's control variates; they begin at zero."""
        return {
            control_name(name): self._control.get(name, np.zeros_like(parameters[name]))
            for name in parameters
            if name in self._trained
        }

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return the weighted mean, and note how many sites sent each control variate."""
        self._senders = Counter(name for update in updates for name in update.places)
        return super().combine(updates)

    def step(self, current: Mapping[str, Array], combined: Mapping[str, Array]) -> Arrays:
        """Return the mean of the parameters, and keep that of the control variates."""
        stepped: Arrays = {}
        for name, array in combined.items():
            parameter = controlled(name)
            if parameter is None:
                stepped[name] = array
                continue
            before = self._control.get(parameter, np.zeros_like(array))
            self._most[parameter] = max(self._senders[name], self._most.get(parameter, 0))
            share = self._senders[name] / self._most[parameter]
            self._control[parameter] = np.asarray(before + share * (array - before), np.float32)
        return stepped

    def state(self) -> Arrays:
        """Return the control variates under the names under which they travel, and their numbers of sites."""
        state = {control_name(name): array for name, array in self._control.items()}
        for name, most in self._most.items():
            state[f"{_SITES}{name}"] = np.array(most, np.int64)
        return state

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take up what :meth:`state` gave."""
        self._control = {
            parameter: array for name, array in arrays.items() if (parameter := controlled(name)) is not None
        }
        self._most = {
            name.removeprefix(_SITES): int(array) for name, array in arrays.items() if name.startswith(_SITES)
        }
