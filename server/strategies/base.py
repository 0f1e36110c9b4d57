"""What a strategy is: the way from a round's updates to the next global model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Array, Arrays
from server.aggregation import weighted_mean
from server.spool import StoredUpdate


class Strategy:
    """Combines a round's updates, and steps from the global model to the next; this one averages.

    Choosing sites, checking replies, weighing them, leaving outliers out and counting the quorum are the
    round loop's business; a strategy sees only checked updates. A strategy may keep a state of its own
    (server momentum) between calls; one object serves one phase.

    Args:
        federation: The experiment's section.
        trained: Names of the parameters that training moves by gradients; what else travels are buffers.
    """

    def __init__(self, federation: FederationConfig, trained: Collection[str]) -> None:
        self._federation = federation
        self._trained = frozenset(trained)

    def beside(self, parameters: Mapping[str, Array]) -> Arrays:
        """Return what travels to every site beside the parameters of a phase, and comes back from it.

        Args:
            parameters: Of the phase.

        Returns:
            Arrays under names of their own, in the form in which they come back; nothing unless overridden.
        """
        return {}

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return one set of parameters for a round's updates: their weighted mean unless overridden.

        Args:
            updates: In an order that does not depend on who answered first. Not every update holds every
                parameter; a parameter's value comes from those that do.

        Returns:
            Float32 arrays, and int64 for integer buffers; a parameter that no update holds is absent.
        """
        return weighted_mean(updates)

    def step(self, current: Mapping[str, Array], combined: Mapping[str, Array]) -> Arrays:
        """Return new values for the combined parameters: as they are unless overridden.

        Args:
            current: The global parameters that the sites started from.
            combined: What :meth:`combine` gave of a round that counted.

        Returns:
            An array for each global parameter in ``combined``, of its shape and type; ``current`` and
            ``combined`` are left as they are.
        """
        return dict(combined)

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
