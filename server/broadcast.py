"""The model that is sent to be trained, and what the sites make of it where compression loses something."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from flwr.app import ArrayRecord

from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.compression.choice import downward
from hqgnet.exchange.compression.message import compress
from server.wire import write_arrays, write_compressed


class Broadcast:
    """One round's model on its way to the sites.

    Args:
        exact: What the server holds.
        settings: How it travels.

    Attributes:
        sent: What a site makes of it: from there it trains, and its update is measured.
        record: For the message to a site that gets all of it.
    """

    def __init__(self, exact: Arrays, settings: CompressionConfig) -> None:
        self._exact = exact
        self._settings = settings
        self.sent = exact
        self.record: ArrayRecord
        if not settings.is_down:
            self.record = write_arrays(exact)
            return
        packed, decoded = compress(exact, downward(settings))
        # Of arrays that arrive as they were, one copy is enough.
        self.sent = {
            name: decoded[name] if _differs(decoded[name], exact[name]) else exact[name] for name in exact
        }
        self.record = write_compressed(packed)

    def record_of(self, names: Collection[str]) -> ArrayRecord:
        """Return a message's record of some of the arrays; a site makes the same of each as of the whole."""
        if len(names) == len(self._exact):
            return self.record
        some = {name: self._exact[name] for name in names}
        if not self._settings.is_down:
            return write_arrays(some)
        return write_compressed(compress(some, downward(self._settings))[0])

    def onto_exact(self, combined: Arrays) -> Arrays:
        """Return what the sites made of what they got, as a move of what the server holds.

        Without it a step smaller than the last digit of what travels would be lost with every round. Every
        strategy's mean, median or choice of updates moves along when all updates are moved alike.
        """
        return {
            name: array + self._error(name) if self._is_lossy(name) else array
            for name, array in combined.items()
        }

    def _is_lossy(self, name: str) -> bool:
        return self.sent[name] is not self._exact[name]

    def _error(self, name: str) -> Array:
        error: Array = np.subtract(self._exact[name], self.sent[name])
        return error


def _differs(first: Array, second: Array) -> bool:
    return first is not second and not np.array_equal(first, second)
