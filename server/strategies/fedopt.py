"""Server optimisers: the sites' mean step taken as a gradient (Reddi et al., arXiv 2003.00295).

Buffers, whose values are no steps of gradients, take the mean: an optimiser's step could make a variance
negative. Formulas are those of Flower 1.41, which the tests check against.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Array, Arrays
from server.strategies.base import Strategy

_MOMENTUM, _SECOND_MOMENT, _ROUNDS = "momentum.", "second_moment.", "rounds"
_ADAPTIVE_RATE = 0.01

Floats = NDArray[np.float32]


class FedOpt(Strategy):
    """What server optimisers have in common: a momentum of the mean step, kept from round to round."""

    def __init__(self, federation: FederationConfig, trained: Collection[str]) -> None:
        super().__init__(federation, trained)
        self._momentum: dict[str, Floats] = {}
        self._rounds = 0

    def step(self, current: Mapping[str, Array], combined: Mapping[str, Array]) -> Arrays:
        """Move the trained parameters by an optimiser's step, and take buffers as they are combined."""
        self._rounds += 1
        stepped = dict(combined)
        for name in self._trained & combined.keys():
            before: Floats = np.asarray(current[name], np.float32)
            stepped[name] = before + self._step(name, np.asarray(combined[name], np.float32) - before)
        return stepped

    def state(self) -> Arrays:
        """Return the momentum, and how many rounds it has seen."""
        momentum: Arrays = {f"{_MOMENTUM}{name}": array for name, array in self._momentum.items()}
        return momentum | {_ROUNDS: np.array(self._rounds, np.int64)}

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take up what :meth:`state` gave."""
        self._momentum = _with_prefix(_MOMENTUM, arrays)
        self._rounds = int(arrays[_ROUNDS])

    @abstractmethod
    def _step(self, name: str, moved: Floats) -> Floats:
        """Return the server's step of a parameter which the sites have moved by ``moved`` in the mean."""


class FedAvgM(FedOpt):
    """Averaging with server momentum (Hsu et al., arXiv 1909.06335)."""

    def _step(self, name: str, moved: Floats) -> Floats:
        kept = self._momentum.get(name)
        if kept is not None:
            moved = self._federation.server_momentum * kept + moved
        self._momentum[name] = moved
        rate = self._federation.server_learning_rate or 1.0
        return rate * moved


class _Adaptive(FedOpt):
    """Steps divided by the root of a mean squared step."""

    def __init__(self, federation: FederationConfig, trained: Collection[str]) -> None:
        super().__init__(federation, trained)
        self._second_moment: dict[str, Floats] = {}

    def state(self) -> Arrays:
        """Return both moments, and how many rounds they have seen."""
        return super().state() | {
            f"{_SECOND_MOMENT}{name}": array for name, array in self._second_moment.items()
        }

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take up what :meth:`state` gave."""
        super().load_state(arrays)
        self._second_moment = _with_prefix(_SECOND_MOMENT, arrays)

    def _step(self, name: str, moved: Floats) -> Floats:
        beta = self._federation.server_momentum
        momentum = beta * self._momentum.get(name, np.zeros_like(moved)) + (1 - beta) * moved
        second = self._second(self._second_moment.get(name, np.zeros_like(moved)), moved * moved)
        self._momentum[name], self._second_moment[name] = momentum, second
        root: Floats = np.sqrt(second, dtype=np.float32)
        return self._rate() * momentum / (root + self._federation.server_adaptivity)

    def _rate(self) -> float:
        return self._federation.server_learning_rate or _ADAPTIVE_RATE

    @abstractmethod
    def _second(self, second: Floats, squared: Floats) -> Floats:
        """Return the second moment after a step whose square is ``squared``."""


class FedAdam(_Adaptive):
    """Adam at the server, its rate corrected for moments that begin at zero."""

    def _rate(self) -> float:
        first, second = self._federation.server_momentum, self._federation.server_second_moment
        power = self._rounds + 1
        return super()._rate() * math.sqrt(1 - second**power) / (1 - first**power)

    def _second(self, second: Floats, squared: Floats) -> Floats:
        beta = self._federation.server_second_moment
        return beta * second + (1 - beta) * squared


class FedYogi(_Adaptive):
    """Yogi at the server: its second moment falls by no more than the squared step."""

    def _second(self, second: Floats, squared: Floats) -> Floats:
        beta = self._federation.server_second_moment
        grown: Floats = second - (1 - beta) * squared * np.sign(second - squared)
        return grown


def _with_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Floats]:
    return {
        name.removeprefix(prefix): np.array(array, np.float32)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
