"""The three phases of an experiment, made ready at one place."""

from __future__ import annotations

import torch

from hqgnet.config import Experiment, PhaseName
from hqgnet.networks import Networks
from hqgnet.training.cooperate import Cooperate
from hqgnet.training.downstream import downstream_of
from hqgnet.training.enhance import Enhance
from hqgnet.training.enhancers import enhancer_of
from hqgnet.training.phase import Phase
from hqgnet.training.pretrain import Pretrain


def phase_of(name: PhaseName, networks: Networks, experiment: Experiment, device: torch.device) -> Phase:
    """Return a phase with fresh optimisers.

    Args:
        name: Which phase.
        networks: Trained in place.
        experiment: Gives the method, the losses and who is frozen.
        device: Where the networks are.
    """
    if name == "pretrain":
        return Pretrain(networks, experiment, device)
    if name == "cooperate" and not experiment.downstream.enhancer_trained_in_cooperate:
        return Cooperate(networks, None, downstream_of(networks, experiment, device), experiment, device)
    enhancer = enhancer_of(networks, experiment, device, name)
    if name == "enhance":
        return Enhance(enhancer, device)
    return Cooperate(networks, enhancer, downstream_of(networks, experiment, device), experiment, device)
