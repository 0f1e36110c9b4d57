"""A run that went well, a hospital with images of every kind, and an untrained model to report on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from tests.report_samples import write_model, write_run


@pytest.fixture(scope="session")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that went well."""
    return write_run(tmp_path_factory.mktemp("run") / "trial")


@pytest.fixture(scope="session")
def model_file(tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model."""
    return write_model(tmp_path_factory.mktemp("model") / "best.safetensors", tiny_experiment)


@pytest.fixture
def hospital(tiny_site_files: list[Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of a copy of a tiny site, some of whose test images lack mask, twin, or both."""

    def make(*lacking: tuple[str, ...], rename: str = "") -> Path:
        source = tiny_site_files[0].parent
        folder = tmp_path / "site"
        shutil.copytree(source, folder)
        file = folder / "site.yaml"
        data = SiteData.open(load_site_config(file))
        for sample, kinds in zip(data.lq["test"], lacking, strict=False):
            for kind in kinds:
                path = getattr(sample, kind)
                assert path is not None
                path.unlink()
        if rename:
            last = data.lq["test"][-1]
            for path in (last.path, last.mask, last.twin):
                if path is not None and path.exists():
                    path.rename(path.with_stem(path.stem + rename))
            split = folder / "split.csv"
            name = f"{last.path.parent.name}/{last.path.stem}"
            split.write_text(split.read_text().replace(f"{name}.", f"{name}{rename}."))
        return file

    return make
