"""A small guided model, and sites of two modalities whose folders tests may write to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hqgnet.config import Experiment
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.model_file import save_model
from hqgnet.networks import build_networks

COUNTS = {"train_lq": 2, "train_hq": 2, "validation_lq": 1, "test_lq": 3, "test_hq": 4}
SaveModel = Callable[..., Path]


@pytest.fixture(scope="session")
def fundus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three LQ and four HQ test images, with masks and twins."""
    return make_sites("fundus", 1, 3, tmp_path_factory.mktemp("fundus") / "sites", size=48, **COUNTS)[0]


@pytest.fixture(scope="session")
def ccm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of grey images, whose LQ images are graded."""
    return make_sites("ccm", 1, 3, tmp_path_factory.mktemp("ccm") / "sites", size=48, **COUNTS)[0]


@pytest.fixture(scope="session")
def save(tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> SaveModel:
    """Write a model whose weights have been stirred, so that the guide shows in its images."""

    def write(*, cue: bool = True) -> Path:
        experiment = tiny_experiment
        networks = build_networks(experiment.numbers, experiment.channels, seed=5)
        with torch.no_grad():
            for parameter in networks.generator.last.parameters():
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
        path = tmp_path_factory.mktemp("models") / "model.safetensors"
        guidance = torch.linspace(-1, 1, 64) if cue else None
        save_model(path, networks, experiment, guidance=guidance, details={"task_trained": True})
        return path

    return write


@pytest.fixture(scope="session")
def model(save: SaveModel) -> Path:
    """With a stored cue."""
    return save()
