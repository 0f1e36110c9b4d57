"""What many tests share: tiny synthetic sites and a tiny experiment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from hqgnet.config import (
    EvaluationConfig,
    Experiment,
    FederationConfig,
    PhaseConfig,
    PhasesConfig,
)
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.training_config import TrainingConfig

torch.set_num_threads(1)
# The processes that tests start have as many threads as there are cores, and tests run side by side: threads
# that spin while they wait for each other take a busy machine's time (a page of 11 s took 39 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def tiny_site_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two synthetic fundus sites of 48x48 images; tests must not change them."""
    out = tmp_path_factory.mktemp("federation") / "sites"
    counts = {"train_lq": 8, "train_hq": 8, "validation_lq": 2, "test_lq": 3, "test_hq": 2}
    return make_sites("fundus", 2, 7, out, size=48, **counts)


@pytest.fixture(scope="session")
def tiny_sites(tiny_site_files: list[Path]) -> list[SiteData]:
    """The same sites, opened."""
    return [SiteData.open(load_site_config(path)) for path in tiny_site_files]


@pytest.fixture(scope="session")
def tiny_experiment() -> Experiment:
    """Three phases of two rounds of two steps, at 48x48."""
    phase = PhaseConfig(rounds=2, steps=2)
    return Experiment(
        name="tiny",
        seed=3,
        modality="fundus",
        channels=3,
        image_size=48,
        preset="tiny",
        training=TrainingConfig(batch_size=2),
        phases=PhasesConfig(pretrain=phase, enhance=phase, cooperate=phase),
        federation=FederationConfig(minimum_sites=1),
        # No S_HQ: a classifier a site would take seconds.
        evaluation=EvaluationConfig(metrics=("psnr", "ssim", "average_gradient", "entropy")),
    )
