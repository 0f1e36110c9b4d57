"""The four sites of real photographs, made from the optional real images: whole, disjoint, trainable."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hqgnet.config import load_experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.training.local import LocalTrainer

ROOT = Path(__file__).parents[2]
EXPERIMENT = ROOT / "site_configs" / "real-fundus"
VESSELS = ("drive", "chase")
DATA = Path(os.environ.get("HQGNET_REAL_DATA", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not (DATA / "fundus" / "manifest.json").is_file(),
        reason=f"no real images at {DATA}; HQGNET_REAL_DATA names another place",
    ),
]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SiteData]:
    out = tmp_path_factory.mktemp("real") / "sites"
    script = [sys.executable, str(EXPERIMENT / "make_sites.py"), "--data", str(DATA), "--out", str(out)]
    subprocess.run([*script, "--size", "64"], check=True, capture_output=True, timeout=200, cwd=ROOT)
    opened = [SiteData.open(load_site_config(path)) for path in sorted(out.glob("*/site.yaml"))]
    return {data.config.name: data for data in opened}


def test_there_are_two_cameras_with_masks_and_two_sites_of_graded_patients(
    sites: dict[str, SiteData],
) -> None:
    assert set(sites) == {"drive", "chase", "eyeq-a", "eyeq-b"}
    assert {name for name, data in sites.items() if data.has_masks} == set(VESSELS)
    for data in sites.values():
        assert not data.skipped
        assert all(sample.twin is None for sample in data.lq["train"])
        assert len(data.lq["train"]) >= 16 and len(data.lq["test"]) >= 4


def test_no_photograph_is_at_two_sites(sites: dict[str, SiteData]) -> None:
    seen: dict[str, str] = {}
    for name, data in sites.items():
        assert data.config.images.hq is not None
        for file in sorted(data.config.images.hq.iterdir()):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            assert seen.setdefault(digest, name) == name, f"an HQ image of {seen[digest]} is at {name} too"
    # 40 patients of DRIVE with a photograph each, 14 of CHASE_DB1 with two; LQ ones in three copies.
    counts = {name: (len(sites[name].lq["train"]), len(sites[name].hq["train"])) for name in VESSELS}
    assert counts == {"drive": (42, 12), "chase": (30, 8)}


def test_no_patient_is_in_two_splits(sites: dict[str, SiteData]) -> None:
    for data in sites.values():
        patients = [
            {sample.patient for sample in (*data.lq[split], *data.hq[split])}
            for split in ("train", "validation", "test")
        ]
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]


@pytest.mark.parametrize("name", ["drive", "eyeq-a"])
def test_the_experiment_trains_on_them(sites: dict[str, SiteData], name: str) -> None:
    experiment = load_experiment(EXPERIMENT / "experiment.yaml").model_copy(update={"image_size": 64})
    trainer = LocalTrainer(experiment, [sites[name]], torch.device("cpu"))
    losses = trainer.train("cooperate", 0, 1).losses
    assert ("segmentation" in losses) == (name == "drive")
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
