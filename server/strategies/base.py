"""What a strategy is: the step from the global model and the sites' mean to the next global model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from hqgnet.exchange.arrays import Array, Arrays


class Strategy(ABC):
    """Turns the weighted mean of a round into the next global model.

    Choosing sites, checking replies, weighing them and counting the quorum are the round loop's business; a
    strategy sees only checked means. A strategy may keep a state of its own (server momentum) between
    calls; one object serves one phase.
    """

    @abstractmethod
    def step(self, current: Mapping[str, Array], mean: Mapping[str, Array]) -> Arrays:
        """Return new values for the parameters in ``mean``.

        Args:
            current: The global parameters that the sites started from; holds every name of ``mean``.
            mean: Weighted mean of the sites' parameters, float32, integer buffers int64. A parameter that
                no site sent is absent and stays as it is.

        Returns:
            An array for each name in ``mean``, of its shape and type; ``current`` and ``mean`` are left as
            they are.
        """

    def state(self) -> Arrays:
        """Return what must survive a restart (server momentum, say), by name; nothing unless overridden."""
        return {}

    def load_state(self, arrays: Mapping[str, Array]) -> None:
        """Take up what :meth:`state` gave.

        Args:
            arrays: Of the same names, shapes and types.
        """
        if arrays:
            raise ValueError(f"{type(self).__name__} has no state, but is given {sorted(arrays)}")
