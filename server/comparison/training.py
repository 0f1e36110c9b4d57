"""Training one cell of a comparison, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from hqgnet.config import PHASES, Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.exchange.groups import has_personal_model
from hqgnet.guidance import mean_guidance
from hqgnet.model_file import load_model, save_model
from hqgnet.training.selection import Chosen, train_best, tune
from server.comparison.cells import Cell


def train_cell(
    cell: Cell,
    experiment: Experiment,
    files: Sequence[Path],
    out: Path,
    finetune_steps: int,
    threads: int,
) -> None:
    """Train ``alone``, ``pooled`` or ``finetuned``, choose on validation images, and write the model.

    Args:
        cell: What to train.
        experiment: Of the comparison; the cell's seed replaces its own.
        files: Site files: the cell's one site, or all.
        out: Folder of the comparison.
        finetune_steps: Local steps from the federated model on.
        threads: For torch.
    """
    torch.set_num_threads(threads)
    experiment = experiment.model_copy(update={"seed": cell.seed})
    configs = [load_site_config(file) for file in files]
    device = choose_device(configs[0].device)
    data = [SiteData.open(config) for config in configs]
    if cell.kind == "finetuned":
        personal = has_personal_model(experiment)
        file = Cell("federated", cell.seed).file_at(out, configs[0].work, personal=personal)
        federated = load_model(file, device)
        chosen = tune(
            federated.networks,
            experiment,
            data,
            device,
            finetune_steps,
            task_trained=federated.task_trained,
        )
    else:
        chosen = train_best(experiment, data, device)
    _save(chosen, cell, experiment, data, device, cell.file(out))


def total_steps(experiment: Experiment) -> int:
    """Local steps of a site over all phases."""
    lengths = [experiment.phase(phase) for phase in PHASES]
    return sum(length.rounds * length.steps for length in lengths)


def _save(
    chosen: Chosen,
    cell: Cell,
    experiment: Experiment,
    data: Sequence[SiteData],
    device: torch.device,
    file: Path,
) -> None:
    guidance, _ = mean_guidance(chosen.networks, data, experiment.image_size, device)
    details = {
        "model": cell.model,
        "phase": chosen.phase,
        "round": chosen.round,
        "score": chosen.score,
        "task_trained": chosen.task_trained,
    }
    save_model(file, chosen.networks, experiment, guidance=guidance, details=details)
