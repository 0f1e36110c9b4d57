"""A tiny site, and two rows of a table that are finished on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hqgnet.ablation.run import ablate
from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from tests.unit.ablation.questions import CPU, asked


@pytest.fixture(scope="session")
def site(tiny_site_files: list[Path]) -> list[SiteData]:
    return [SiteData.open(load_site_config(tiny_site_files[0]))]


@pytest.fixture(scope="session")
def experiment(tiny_experiment: Experiment) -> Experiment:
    """As the tiny one, with nothing given that a method's own default may stand for."""
    given = tiny_experiment.model_dump(exclude={"training"})
    del given["ablation"], given["downstream"], given["stillgan"], given["enlightengan"]
    return Experiment.model_validate(given | {"training": {"batch_size": 1}})


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment, site: list[SiteData]) -> Path:
    """Two rows of Table Va with two seeds; not to be changed."""
    out = tmp_path_factory.mktemp("table") / "out"
    ablate(asked(out, experiment, "Va", "learnable", "guidance", seeds=(1, 2)), site, CPU, lambda told: None)
    return out


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished rows."""
    return Path(shutil.copytree(finished, tmp_path / "results", copy_function=shutil.copy2))
