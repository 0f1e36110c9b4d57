"""Strategies by the name that an experiment gives."""

from __future__ import annotations

from server.strategies.base import Strategy
from server.strategies.fedavg import FedAvg

STRATEGIES: dict[str, type[Strategy]] = {"fedavg": FedAvg}
