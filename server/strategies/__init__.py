"""Strategies by the name that an experiment gives."""

from __future__ import annotations

from collections.abc import Collection

from hqgnet.config import FederationConfig
from hqgnet.strategy_config import StrategyName
from server.strategies.base import Strategy
from server.strategies.coordinates import Median, TrimmedMean
from server.strategies.fedavg import FedAvg
from server.strategies.fedopt import FedAdam, FedAvgM, FedYogi
from server.strategies.krum import Krum, MultiKrum
from server.strategies.scaffold import Scaffold

STRATEGIES: dict[StrategyName, type[Strategy]] = {
    "fedavg": FedAvg,
    "fedprox": FedAvg,
    "fedbn": FedAvg,
    "fedper": FedAvg,
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "scaffold": Scaffold,
    "median": Median,
    "trimmed_mean": TrimmedMean,
    "krum": Krum,
    "multi_krum": MultiKrum,
}


def make_strategy(federation: FederationConfig, trained: Collection[str]) -> Strategy:
    """Return the experiment's strategy, at the beginning of a phase.

    Args:
        federation: Names it.
        trained: See :class:`Strategy`.
    """
    return STRATEGIES[federation.strategy](federation, trained)
