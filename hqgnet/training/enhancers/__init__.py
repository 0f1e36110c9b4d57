"""The enhancers in training, one a method."""

from __future__ import annotations

from typing import Any

import torch

from hqgnet.config import Experiment, PhaseName
from hqgnet.networks import EnlightenGanNetworks, HqgNetworks, Networks, StillGanNetworks
from hqgnet.training.enhancers.enlightengan import EnlightenGanEnhancer
from hqgnet.training.enhancers.hqgnet import HqgEnhancer
from hqgnet.training.enhancers.stillgan import StillGanEnhancer
from hqgnet.training.protocols import Enhancer

__all__ = ["EnlightenGanEnhancer", "HqgEnhancer", "StillGanEnhancer", "enhancer_of"]


def enhancer_of(
    networks: Networks, experiment: Experiment, device: torch.device, phase: PhaseName
) -> Enhancer[Any]:
    """Return what trains an experiment's enhancer.

    Args:
        networks: As :func:`hqgnet.networks.networks_of` builds them.
        experiment: Gives losses and optimiser.
        device: Where the networks are.
        phase: Whose learning rate to use.

    Raises:
        TypeError: For networks of no method.
    """
    if isinstance(networks, HqgNetworks):
        return HqgEnhancer(networks, experiment, device, phase)
    if isinstance(networks, StillGanNetworks):
        return StillGanEnhancer(networks, experiment, device, phase)
    if isinstance(networks, EnlightenGanNetworks):
        return EnlightenGanEnhancer(networks, experiment, device, phase)
    raise TypeError(f"no enhancer trains {type(networks).__name__}")
