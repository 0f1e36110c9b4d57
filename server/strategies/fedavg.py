"""Federated averaging."""

from __future__ import annotations

from server.strategies.base import Strategy


class FedAvg(Strategy):
    """The weighted mean becomes the global model (McMahan et al., arXiv 1602.05629).

    So it does for the strategies whose difference lies at the sites: fedprox adds a proximal term to the
    local objective (Li et al., arXiv 1812.06127, :mod:`hqgnet.training.proximal`), fedbn leaves batch
    normalisation (Li et al., arXiv 2102.07623), and fedper whole parameter groups (Arivazhagan et al., arXiv
    1912.00818), with each site.
    """
