"""The same three phases without a federation: one hospital alone, or several hospitals' data in one room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.networks.pretrained import load_pretrained
from hqgnet.training.averaging import latest_share
from hqgnet.training.local import LocalResult, LocalTrainer

OnRound = Callable[[PhaseName, int, LocalResult], None]
OnPublished = Callable[[PhaseName, int, Mapping[str, Tensor]], None]


def train_centrally(
    experiment: Experiment,
    data: Sequence[SiteData],
    device: torch.device,
    on_round: OnRound | None = None,
    on_published: OnPublished | None = None,
    *,
    initial: Mapping[str, Tensor] | None = None,
) -> LocalTrainer:
    """Train all phases on pooled data; a federation of one such site gives the same weights.

    Args:
        experiment: Rounds times steps give the length of each phase.
        data: One or more sites.
        device: Where to train.
        on_round: Called after each stretch of ``steps`` steps with phase, round (from 1) and its result.
        on_published: Called after it with phase, round, and every parameter as a federation would publish it.
        initial: Weights to begin with, such as an earlier training's discriminator; names that are absent
            begin as the experiment says.

    Returns:
        The trainer, whose networks hold the published weights (averaged where ``federation.server_average``
        asks).

    Raises:
        ConfigurationError: If a file of pretrained weights cannot be used.
    """
    trainer = LocalTrainer(experiment, data, device)
    load_pretrained(trainer.networks, experiment)
    trainer.load(initial or {})
    phases = [phase for phase in PHASES if experiment.phase(phase).rounds]
    for phase in phases:
        length = experiment.phase(phase)
        average: dict[str, Tensor] | None = None
        for number in range(1, length.rounds + 1):
            result = trainer.train(phase, (number - 1) * length.steps, length.steps)
            share = latest_share(experiment.federation.server_average, number)
            average = _averaged(average, trainer.state(), share)
            if on_round:
                on_round(phase, number, result)
            if on_published:
                on_published(phase, number, average)
        goes_on = phase != phases[-1] and experiment.federation.phase_begins_from == "latest"
        if average is not None and not goes_on:
            # The discriminator never belongs to the published model.
            trainer.load({name: v for name, v in average.items() if not name.startswith("discriminator.")})
    return trainer


def _averaged(
    average: dict[str, Tensor] | None, latest: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    if average is None or share == 1.0:
        return {name: value.clone() for name, value in latest.items()}
    return {
        name: value.lerp(latest[name], share) if value.is_floating_point() else latest[name].clone()
        for name, value in average.items()
    }
