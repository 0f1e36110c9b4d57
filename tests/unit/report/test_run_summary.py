"""What is said first of a run: its figures with the sites and images behind them, and what was trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from server.report.curves import metric_curves
from server.report.record import Json, read_run
from server.report.summary import summary
from server.report.traffic import traffic
from tests.report_samples import write_lines, write_run

PHASES = {"pretrain": {"rounds": 0, "steps": 5}, "enhance": {"rounds": 2, "steps": 5}}
PHASES |= {"cooperate": {"rounds": 3, "steps": 5}}


def of_run(folder: Path, **changes: Any) -> Any:
    return summary(read_run(write_run(folder, **changes)))


def change_table(run: Path, change: Json) -> None:
    table = json.loads((run / "table.json").read_text())
    (run / "table.json").write_text(json.dumps(table | change))


def test_figures_are_told_with_the_sites_and_images_behind_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    # Masks at one site alone, and there not of every image.
    table = json.loads((run / "table.json").read_text())
    for name in ("dice", "auc"):
        table["sites"]["bergen"] |= {f"{name}_original": None, f"{name}_enhanced": None}
    gaps = {"aachen": {"segmentation": {"counted": 5, "reasons": ["no-mask"]}}}
    change_table(run, {"sites": table["sites"], "gaps": gaps})
    said = summary(read_run(run)).result
    assert said.startswith(
        "On 24 test images at 2 of 3 sites, mean over sites, PSNR rose from 15.45 to 18.54 dB"
    )
    assert re.search(
        r" and SSIM [^;]*; on 5 test images at 1 of 3 sites, Dice rose from [\d.]+ to [\d.]+ ", said
    )
    assert "36" not in said


def test_a_figure_of_every_site_is_of_all_images(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    table = json.loads((run / "table.json").read_text())
    row = table["sites"]["aachen"]
    change_table(run, {"sites": dict.fromkeys(table["sites"], row)})
    assert summary(read_run(run)).result.startswith(
        "On 36 test images at 3 of 3 sites, mean over sites, PSNR"
    )


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({}, "trained one enhancer of fundus photographs together: HQG-Net, preset"),
        (
            {"method": "stillgan", "phases": PHASES},
            "trained one enhancer of fundus photographs together: StillGAN, preset",
        ),
        ({"method": "enlightengan"}, "EnlightenGAN, preset"),
    ],
)
def test_the_method_is_named(tmp_path: Path, changes: dict[str, Any], trained: str) -> None:
    said = of_run(tmp_path / "run", **changes).trained
    assert trained in said and "model of its own" not in said


def test_of_a_method_without_training_the_downstream_network_is_trained(tmp_path: Path) -> None:
    phases = PHASES | {"enhance": {"rounds": 0, "steps": 5}}
    trained = {"enhancer_trained_in_cooperate": False}
    said = of_run(tmp_path / "run", method="caefi", phases=phases, downstream=trained).trained
    assert "trained one downstream network together on fundus photographs enhanced by CAEFI, at" in said
    assert "preset" not in said


@pytest.mark.parametrize("federation", [{"share_normalization": False}, {"local_groups": ["task"]}])
def test_sites_with_a_model_of_their_own_are_said_to_have_one(
    tmp_path: Path, federation: dict[str, Any]
) -> None:
    said = of_run(tmp_path / "run", federation=federation).trained
    assert "one enhancer" not in said
    assert "Each site has a model of its own: a part of it never left the site." in said


def test_an_experiment_of_another_version_is_not_said_to_be_of_one_model(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    plan = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(json.dumps({**plan, "key_of_tomorrow": 1, "method": "new"}))
    said = summary(read_run(run)).trained
    assert "trained an enhancer of fundus photographs together: new, preset" in said


def test_the_median_of_two_rounds_lies_between_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", until=2)
    rows = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    write_lines(run / "rounds.jsonl", [row | {"seconds": 10.0 + 30 * n} for n, row in enumerate(rows)])
    assert dict(traffic(read_run(run)).facts)["median round"] == "25.0 s"


def test_originals_of_a_single_evaluation_are_drawn_and_in_the_legend(tmp_path: Path) -> None:
    curves = metric_curves(read_run(write_run(tmp_path / "run", state="running", until=4)))
    dashed = [line for line in curves.plots[0].lines if "dashed" in line.style and line.path]
    assert dashed and all(line.marks for line in dashed)
    entries = {entry.label: entry for entry in curves.legend}
    assert entries["the site's original images"].mark
    often = metric_curves(read_run(write_run(tmp_path / "long")))
    assert not {entry.label: entry for entry in often.legend}["the site's original images"].mark
