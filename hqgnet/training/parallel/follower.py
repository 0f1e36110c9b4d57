"""What ranks above 0 do: the same steps as rank 0, on their shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hqgnet.config import Experiment, experiment_from_json
from hqgnet.networks import networks_of
from hqgnet.ranks import average, ranks_at_work, spread
from hqgnet.training.parallel.batch_norm import share_batch_norm
from hqgnet.training.parallel.dealing import ReceivedBatches
from hqgnet.training.phase import Phase
from hqgnet.training.phases import phase_of
from hqgnet.training.protocols import Losses


class Follower:
    """Networks and phase of one rank, as rank 0 tells.

    Args:
        device: On which this rank computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._key: tuple[str, str] | None = None
        self._networks: nn.Module = nn.Module()
        self._phase: Phase | None = None

    def do(self, command: Mapping[str, Any]) -> None:
        """Make a phase ready and take rank 0's weights, or take a step.

        Raises:
            ValueError: If this rank would train other parameters than rank 0.
        """
        if command["do"] == "train":
            self._begin(command["experiment"], command["phase"], command["parameters"])
            spread(state_of(self._networks))
            return
        assert self._phase is not None
        batches = ReceivedBatches(self._device, lambda: command["shapes"])
        mean_over_ranks(self._phase.step(batches, command["index"]))

    def _begin(self, experiment: str, phase: Any, parameters: str) -> None:
        if self._key != (experiment, phase):
            given: Experiment = experiment_from_json(experiment, "the first process")
            networks = networks_of(given).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            share_batch_norm(networks)
            self._networks = networks
            self._phase = phase_of(phase, networks, given, self._device)
            self._key = experiment, phase
        assert self._phase is not None
        if parameters_of(self._phase) != parameters:
            raise ValueError("this process would train other parameters than the first")


def state_of(networks: nn.Module) -> list[torch.Tensor]:
    """Return every parameter and buffer, in the same order at every rank."""
    return [value for _, value in sorted(networks.state_dict().items())]


def parameters_of(phase: Phase) -> str:
    """Return a digest of what a phase trains, by name and in order."""
    names = [f"{which}.{name}" for which, adam in sorted(phase.optimizers.items()) for name in adam.names]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def mean_over_ranks(losses: Losses) -> Losses:
    """Return, at rank 0, each loss over the whole batch: the mean of the equal shares'."""
    if ranks_at_work() is None or not losses:
        return losses
    values = torch.stack([value.double() for value in losses.values()])
    average([values])
    return dict(zip(losses, values, strict=True))
