"""Training without a federation, with the model chosen as a federation chooses it: on validation images."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.evaluation import evaluate_site
from hqgnet.guidance import mean_guidance, site_guidance
from hqgnet.labels import has_labels
from hqgnet.metrics.names import improves
from hqgnet.networks import Networks, networks_of
from hqgnet.training.central import OnRound, train_centrally
from hqgnet.training.local import LocalTrainer


@dataclass(frozen=True)
class Chosen:
    """The model that stands.

    Attributes:
        networks: Its parameters, on the device of training.
        phase: In which it was reached.
        round: In that phase.
        score: Mean over sites of ``evaluation.best_by`` on enhanced validation images; None without one.
        task_trained: Whether the downstream network has been trained.
    """

    networks: Networks
    phase: PhaseName
    round: int
    score: float | None
    task_trained: bool


class Selector:
    """Keeps the best of the models it is shown; among equals the earlier, without a figure the latest.

    Args:
        experiment: Says the figure.
        data: Sites whose validation images judge.
        device: Where to compute.
        with_task: Whether the downstream network is judged too.
    """

    def __init__(
        self, experiment: Experiment, data: Sequence[SiteData], device: torch.device, *, with_task: bool
    ) -> None:
        self._experiment = experiment
        self._data = data
        self._device = device
        self._with_task = with_task
        self._networks = networks_of(experiment).to(device)
        self._kept: dict[str, Tensor] = {}
        self._place: tuple[PhaseName, int] = ("pretrain", 0)
        self._score: float | None = None

    def consider(self, phase: PhaseName, number: int, parameters: Mapping[str, Tensor]) -> None:
        """Judge ``parameters`` after round ``number`` of ``phase``; keep them if they are the best so far."""
        self._networks.load_state_dict(dict(parameters))
        score = None if phase == "pretrain" else self._judge()
        if self._kept and not improves(self._experiment.evaluation.best_by, score, self._score):
            return
        self._kept = {name: value.detach().cpu().clone() for name, value in parameters.items()}
        self._place, self._score = (phase, number), score

    def chosen(self) -> Chosen:
        """Return the model that stands."""
        self._networks.load_state_dict(self._kept)
        phase, number = self._place
        return Chosen(self._networks.eval(), phase, number, self._score, self._with_task)

    def _judge(self) -> float | None:
        size, name = self._experiment.image_size, f"{self._experiment.evaluation.best_by}_enhanced"
        figures = []
        stored = None
        if not all(site.has_hq for site in self._data):
            # Pooled with others, a site without HQ images is guided by theirs.
            stored, _ = mean_guidance(self._networks, self._data, size, self._device)
            stored = None if stored is None else stored.reshape(1, -1)
        for site in self._data:
            guide = site_guidance(self._networks, site, self._experiment, self._device, stored)
            scores = evaluate_site(
                self._networks,
                site,
                guide,
                size,
                "validation",
                with_task=self._with_task,
                metrics=[metric for metric in self._experiment.metrics if name == f"{metric}_enhanced"],
            )
            figures.append(scores.row().get(name))
        known = [figure for figure in figures if figure is not None]
        return statistics.fmean(known) if known else None


def train_best(
    experiment: Experiment, data: Sequence[SiteData], device: torch.device, on_round: OnRound | None = None
) -> Chosen:
    """Train on pooled data, and choose among the last phase's models as a federation of one site would.

    Args:
        experiment: What to train, how often to judge, and by which figure.
        data: One site, or several in one room.
        device: Where to train.
        on_round: See :func:`hqgnet.training.central.train_centrally`.
    """
    last = _last_phase(experiment)
    selector = Selector(experiment, data, device, with_task=task_is_trained(experiment, data))
    rounds, every = experiment.phase(last).rounds, experiment.evaluation.every

    def judge(phase: PhaseName, number: int, parameters: Mapping[str, Tensor]) -> None:
        if phase == last and (number % every == 0 or number == rounds):
            selector.consider(phase, number, parameters)

    train_centrally(experiment, data, device, on_round, judge)
    return selector.chosen()


def tune(
    networks: Networks,
    experiment: Experiment,
    data: Sequence[SiteData],
    device: torch.device,
    steps: int,
    *,
    task_trained: bool = False,
) -> Chosen:
    """Train a finished model on at these sites in the last phase; it stands itself if nothing better comes.

    Steps are counted from the phase's beginning, so that with ``training.schedule: linear`` those within the
    first half of the phase's length are full ones. Weights are judged and kept as they are, not averaged as
    ``federation.server_average`` has it: that averages over rounds, and there are none here.

    Args:
        networks: The model; unchanged.
        experiment: As it was trained with: the last phase's losses and learning rate are taken.
        data: Sites to train on and to choose by.
        device: Where to train.
        steps: Local steps, judged ten times on the way.
        task_trained: Whether the model's downstream network has learned already; sites without labels leave
            it as it came.
    """
    phase = _last_phase(experiment)
    trainer = LocalTrainer(experiment, data, device)
    # The discriminator stayed at its site: it starts afresh.
    trainer.load({n: v for n, v in networks.state_dict().items() if not n.startswith("discriminator.")})
    with_task = task_trained or task_is_trained(experiment, data)
    selector = Selector(experiment, data, device, with_task=with_task)
    selector.consider(phase, 0, trainer.state())
    stretch = max(1, steps // 10)
    for first in range(0, steps, stretch):
        trainer.train(phase, first, min(stretch, steps - first))
        selector.consider(phase, first // stretch + 1, trainer.state())
    return selector.chosen()


def task_is_trained(experiment: Experiment, data: Sequence[SiteData]) -> bool:
    """Return whether the downstream network can be judged after training: taught by these sites, or before.

    Args:
        experiment: What is trained.
        data: The sites, pooled.
    """
    taught = _last_phase(experiment) == "cooperate" and any(has_labels(site, experiment) for site in data)
    return taught or experiment.downstream.weights is not None


def _last_phase(experiment: Experiment) -> PhaseName:
    return [phase for phase in PHASES if experiment.phase(phase).rounds][-1]
