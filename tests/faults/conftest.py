"""Consortia on loopback, with hospitals whose images carry planted names."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from hqgnet.data.synthetic.sites import make_sites
from tests.faults.consortium import Consortium, stopped_at_the_end

PLANTED = "lovelace1815"


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three synthetic fundus sites of 48x48 images; every patient's identifier holds a planted word."""
    out = tmp_path_factory.mktemp("hospitals")
    counts = {"train_lq": 8, "train_hq": 8, "validation_lq": 2, "test_lq": 3, "test_hq": 2}
    files = make_sites("fundus", 3, 7, out, size=48, **counts)
    for file in files:
        for image in list(file.parent.rglob("*.png")):
            image.rename(image.with_name(f"{PLANTED}{image.name}"))
        split = file.parent / "split.csv"
        header, *lines = split.read_text().splitlines()
        planted = []
        for line in lines:
            path, patient, part = line.split(",")
            folder, _, name = path.rpartition("/")
            planted.append(f"{folder}/{PLANTED}{name},{PLANTED}{patient},{part}")
        split.write_text("\n".join([header, *planted]) + "\n")
    return files


@pytest.fixture(scope="module")
def consortium_factory(hospitals: list[Path]) -> Iterator[Callable[..., Consortium]]:
    """Make a provisioned consortium in a short temporary folder; stopped and removed at the module's end."""
    with ExitStack() as stack:

        def make(sites: int = 3, **settings: Any) -> Consortium:
            root = Path(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
            if "HQGNET_KEEP" not in os.environ:
                stack.callback(shutil.rmtree, root, ignore_errors=True)
            made = stack.enter_context(stopped_at_the_end(Consortium(root, hospitals[:sites], **settings)))
            made.provision()
            return made

        yield make


@pytest.fixture(scope="module")
def experiment_factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write an experiment of tiny networks; rounds by phase, one step each."""
    folder = tmp_path_factory.mktemp("experiments")

    def write(name: str, federation: dict[str, Any] | None = None, **rounds: int) -> Path:
        lengths = {phase: rounds.get(phase, 0) for phase in ("pretrain", "enhance", "cooperate")}
        settings = {
            "name": name,
            "seed": 5,
            "modality": "fundus",
            "channels": 3,
            "image_size": 48,
            "preset": "tiny",
            "training": {"batch_size": 2},
            "phases": {phase: {"rounds": number, "steps": 1} for phase, number in lengths.items()},
            "federation": {"expected_sites": 3, "minimum_sites": 2, "retry_pause_s": 1} | (federation or {}),
            "evaluation": {"every": 100},
        }
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    return write
