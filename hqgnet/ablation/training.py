"""Training one stage, or finding it trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hqgnet.ablation.stages import Stage
from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ModelFileError, Problem
from hqgnet.exchange.groups import published_groups
from hqgnet.files import make_folder
from hqgnet.guidance import mean_guidance
from hqgnet.model_file import TASK_TRAINED, save_model
from hqgnet.tensor_file import write_tensors
from hqgnet.training.central import train_centrally
from hqgnet.training.local import LocalResult

Say = Callable[[str], None]

_TELLS = 4
"""How often a phase says how far it is."""


def train_stage(
    stage: Stage, data: Sequence[SiteData], out: Path, device: torch.device, title: str, say: Say
) -> None:
    """Train a stage if its model is not there; the model is written last.

    Args:
        stage: What to train; the stage that it starts from is there.
        data: Sites, pooled.
        out: Folder of results.
        device: Where to train.
        title: Says in progress lines whose stage it is.
        say: Told how it goes.

    Raises:
        ModelFileError: If the earlier stage's files are damaged.
        OutputError: If the model cannot be written.
    """
    if (out / stage.model).exists():
        return
    experiment = stage.experiment_in(out)
    say(f"{title}: {stage.kind}, {_lengths(experiment)}")
    begun = time.monotonic()

    def told(phase: PhaseName, number: int, result: LocalResult) -> None:
        rounds = experiment.phase(phase).rounds
        if number * _TELLS // rounds > (number - 1) * _TELLS // rounds:
            losses = "  ".join(f"{name} {value:.4f}" for name, value in result.losses.items())
            elapsed = time.monotonic() - begun
            say(f"  {phase} {number * result.steps}/{rounds * result.steps}  {losses}  {elapsed:.0f} s")

    initial = _private(out / stage.start.private) if stage.kind == "joint" and stage.start else None
    trainer = train_centrally(experiment, data, device, told, initial=initial)
    guidance, _ = mean_guidance(trainer.networks, data, experiment.image_size, device)
    teaches = stage.kind != "enhance" or experiment.downstream.weights is not None
    details = {"trained": "centrally", TASK_TRAINED: teaches, "seconds": time.monotonic() - begun}
    make_folder(out / stage.folder)
    if stage.kind == "enhance":
        write_tensors(out / stage.private, _unpublished(trainer.state(), experiment))
    save_model(out / stage.model, trainer.networks, experiment, guidance=guidance, details=details)


def _lengths(experiment: Experiment) -> str:
    lengths = [(phase, experiment.phase(phase)) for phase in PHASES]
    return ", ".join(
        f"{phase} {length.rounds} x {length.steps} steps" for phase, length in lengths if length.rounds
    )


def _unpublished(state: Mapping[str, Tensor], experiment: Experiment) -> dict[str, Tensor]:
    """Return what a joint training goes on with and no model file holds."""
    others = tuple(f"{group}." for group in (*published_groups(experiment), "autoencoder_decoder"))
    return {name: value for name, value in state.items() if not name.startswith(others)}


def _private(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        remedy = f"Delete {path.parent}: it is trained again"
        raise ModelFileError(Problem(str(path), "cannot be read as safetensors", remedy)) from error
