"""The final table says every figure, and of every missing one why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hqgnet.config import Experiment
from hqgnet.metrics.names import Reason
from hqgnet.scores import Gap
from server.evaluation import Judgement, site_mean
from server.results import write_table
from server.run_directory import RunDirectory


@pytest.fixture
def judgement() -> Judgement:
    full = {"images": 16.0, "psnr_original": 15.0, "psnr_enhanced": 20.0, "piqe_original": 40.0}
    rows = {
        "aachen": full
        | {"piqe_enhanced": 30.0, "s_hq_original": 0.2, "s_hq_enhanced": 0.9, "s_hq_auc": 0.95},
        "bergen": {"images": 8.0, "psnr_original": None, "psnr_enhanced": None, "dice_enhanced": None},
    }
    gaps = {
        "aachen": {
            "piqe": Gap(15, [Reason.NOTHING]),
            "segmentation": Gap(0, [Reason.NO_MASK]),
        },
        "bergen": {"psnr": Gap(0, [Reason.NO_TWIN]), "segmentation": Gap(0, [Reason.NO_MASK])},
    }
    mean, behind = site_mean(rows)
    failed = {"cadiz": "site-data"}
    return Judgement("enhance", 3, "test", rows, mean, behind, {}, gaps, None, failed, 1.0)


def test_missing_figures_have_their_reason(
    judgement: Judgement, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    text = write_table(RunDirectory(tmp_path), tiny_experiment, judgement)
    lines = text.splitlines()
    bergen = next(line for line in lines if line.startswith("bergen"))
    assert bergen.split() == ["bergen", "8", "n/a", "n/a", "n/a"]
    assert "nan" not in text.lower()
    assert "PSNR dB n/a at bergen: no clean twin" in lines
    assert any(
        line.startswith("PIQE n/a at aachen (but for 15 of 16 images): nothing to measure") for line in lines
    )
    assert any("AUC on images it has not seen: aachen 0.95" in line for line in lines)
    assert "Not judged: cadiz (site-data)" in lines
    # Dice is no column, as no site has it: nothing is said of it either.
    assert "Dice" not in text
    data = json.loads((tmp_path / "table.json").read_text())
    assert data["gaps"]["bergen"]["psnr"] == {"counted": 0, "reasons": ["no-twin"]}
    # The mean is over the sites that have the figure.
    assert data["site_mean"]["psnr_enhanced"] == 20.0 and data["sites_behind"]["psnr_enhanced"] == 1


def test_what_rounds_to_nothing_has_no_minus(
    judgement: Judgement, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    rows = {
        "aachen": {"images": 1.0, "psnr_original": 20.001, "psnr_enhanced": 19.999},
        "bergen": {"images": 1.0, "psnr_original": -0.001, "psnr_enhanced": -0.5},
    }
    judged = replace(judgement, rows=rows, mean=site_mean(rows)[0])
    lines = write_table(RunDirectory(tmp_path), tiny_experiment, judged).splitlines()
    assert lines[4].split("  ")[-1].strip() == "20.00 -> 20.00 (+0.00)"
    assert lines[5].split("  ")[-1].strip() == "0.00 -> -0.50 (-0.50)"
