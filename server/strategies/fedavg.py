"""Federated averaging."""

from __future__ import annotations

from collections.abc import Mapping

from hqgnet.exchange.arrays import Array, Arrays
from server.strategies.base import Strategy


class FedAvg(Strategy):
    """The mean becomes the global model (McMahan et al., arXiv 1602.05629)."""

    def step(self, current: Mapping[str, Array], mean: Mapping[str, Array]) -> Arrays:
        """Return ``mean``."""
        return dict(mean)
