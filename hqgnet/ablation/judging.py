"""Judging one row on the sites' test images, as ``hqgnet evaluate`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from hqgnet.ablation.stages import Planned
from hqgnet.ablation.tables import Table
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.downstream_config import Task
from hqgnet.evaluation import evaluate_site
from hqgnet.guidance import site_guidance
from hqgnet.metrics.names import GRADING, IMAGE_METRICS, SEGMENTATION
from hqgnet.model_file import TASK_TRAINED, Model, load_model
from hqgnet.networks import Networks, networks_of
from hqgnet.networks.pretrained import load_pretrained
from hqgnet.report.figures import finite
from hqgnet.robustness.guides import Plan, gather
from hqgnet.robustness.results import spread
from hqgnet.robustness.specs import Spec
from hqgnet.robustness.study import guided_networks, study
from hqgnet.scores import Row as Figures
from hqgnet.scores import SiteScores

NOISE_MARK = "@"
"""Stands between a metric and the noise on the guide under which it was taken: ``snr_3@gaussian 0.05``."""


@dataclass(frozen=True)
class Verdict:
    """A row's figures.

    Attributes:
        figures: Over all test images of all sites.
        sites: Of each site.
        gaps: Metrics that not all images have, ``segmentation`` and ``grading`` among them: of how many
            images there is a figure, and why not of the others.
    """

    figures: Figures
    sites: dict[str, Figures]
    gaps: dict[str, tuple[int, str]] = field(default_factory=dict)


def counted_by(metric: str) -> str:
    """Return the name under which it is counted which images have a metric, as in ``Verdict.gaps``."""
    if metric in IMAGE_METRICS:
        return metric
    return GRADING if metric.startswith("grade_") else SEGMENTATION


class UntouchedNetworks(Networks):
    """Images as they are, and a downstream network.

    Args:
        task: The downstream network.
        task_kind: What its logits mean.
    """

    def __init__(self, task: nn.Module, task_kind: Task) -> None:
        super().__init__()
        self.generator = nn.Identity()
        self.discriminator = nn.Identity()
        self.task = task
        self.task_kind = task_kind


def judge_row(
    planned: Planned, table: Table, data: Sequence[SiteData], out: Path, device: torch.device
) -> Verdict:
    """Return a row's figures; what it trains is there.

    Raises:
        ModelFileError: If its model is damaged.
    """
    experiment, model = planned.judged, _model(planned, out, device)
    networks = model.networks
    with_task = model.task_trained
    if planned.row.kind == "untouched":
        networks = UntouchedNetworks(networks.task, networks.task_kind)
    total, sites = SiteScores(), {}
    for site in data:
        guide = site_guidance(networks, site, experiment, device, model.guidance)
        scores = _scores(networks, site, guide, experiment, with_task=with_task)
        total, sites[site.config.name] = total + scores, scores
    figures = total.row()
    if table.noises:
        figures |= _under_noise(model, table, data, sites, device, planned.seed)
    gaps = {name: (gap.counted, gap.text) for name, gap in total.gaps().items()}
    return Verdict(figures, {name: scores.row() for name, scores in sites.items()}, gaps)


def _model(planned: Planned, out: Path, device: torch.device) -> Model:
    """Return the row's model; of one that trains nothing, its untrained networks."""
    if planned.stage is not None:
        return load_model(out / planned.stage.model, device)
    experiment = planned.judged
    networks = networks_of(experiment)
    load_pretrained(networks, experiment)
    taught = experiment.downstream.weights is not None
    return Model(networks.to(device).eval(), experiment, None, {TASK_TRAINED: taught})


def _scores(
    networks: Networks, site: SiteData, guide: Tensor | None, experiment: Experiment, *, with_task: bool
) -> SiteScores:
    return evaluate_site(
        networks, site, guide, experiment.image_size, "test", with_task=with_task, metrics=experiment.metrics
    )


def _under_noise(
    model: Model,
    table: Table,
    data: Sequence[SiteData],
    sites: Mapping[str, SiteScores],
    device: torch.device,
    seed: int,
) -> Figures:
    """Return the table's metrics under noise on the guide: means over sites.

    A site weighs as many images as have the metric without noise: so the figures are means over the same
    images as those without noise, of which masks and the like make fewer than there are.
    """
    metrics = table.metrics[model.experiment.modality]
    sums: dict[str, tuple[float, int]] = {}
    for site in data:
        plan = Plan(seed=seed)
        conditions = gather([Spec(noise) for noise in table.noises], site, model, plan)
        networks = guided_networks(model, f"Table {table.name}")
        found = study(model, networks, site, conditions, "test", seed, device)
        for condition in conditions:
            for metric in metrics:
                value = finite(spread(found, condition, metric).mean)
                counted = sites[site.config.name].counted(counted_by(metric))
                if value is not None and counted:
                    name = f"{metric}{NOISE_MARK}{condition.name} {condition.strength:g}_enhanced"
                    total, images = sums.get(name, (0.0, 0))
                    sums[name] = total + value * counted, images + counted
    return {name: total / images for name, (total, images) in sums.items()}
