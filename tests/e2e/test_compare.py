"""``hqgnet-server compare`` and the report with its matrix: trained once, judged once, then only read."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hqgnet.errors import ExitCode
from server.cli import main
from tests.e2e.test_simulate import EXPERIMENT

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e


def test_a_comparison_is_whole_and_done_once(tmp_path: Path, tiny_site_files: list[Path]) -> None:
    experiment, out = tmp_path / "experiment.yaml", tmp_path / "comparison"
    experiment.write_text(EXPERIMENT + "evaluation: {metrics: [psnr, ssim, piqe]}\n")
    pattern = str(tiny_site_files[0].parents[1] / "*" / "site.yaml")
    command = [sys.executable, "-m", "server.cli", "compare", str(experiment), "--sites", pattern]
    command += ["--out", str(out), "--seeds", "5", "--finetune-steps", "2", "--workers", "2"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert first.returncode == 0, first.stderr
    models = {path.relative_to(out): path.stat().st_mtime_ns for path in out.glob("seed-5/**/*.safetensors")}
    assert {path.parts[1] for path in models} == {
        "alone-site-1",
        "alone-site-2",
        "pooled",
        "federated",
        "finetuned-site-1",
        "finetuned-site-2",
    }
    with (out / "values.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    trained = {"alone site-1", "alone site-2", "pooled", "federated", "finetuned site-1", "finetuned site-2"}
    for metric in ("psnr", "ssim", "piqe"):
        found = {(r["model"], r["site"]) for r in rows if r["metric"] == metric and r["value"]}
        assert found == {
            (model, site) for model in {"original", *trained} for site in ("site-1", "site-2")
        }, metric
    assert not any(row["value"].lower() == "nan" for row in rows)
    matrix = json.loads((out / "comparison.json").read_text())
    assert set(matrix["psnr"]["models"]) == {"original", *trained}
    assert "verdict" in matrix["piqe"]

    # Given again, it trains and judges nothing.
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert again.returncode == 0 and "trained" not in again.stdout
    assert models == {
        path.relative_to(out): path.stat().st_mtime_ns for path in out.glob("seed-5/**/*.safetensors")
    }

    # The report of its federated run takes the matrix in.
    page = tmp_path / "report.html"
    run = out / "seed-5" / "federated"
    assert main(["report", str(run), "--comparison", str(out), "--out", str(page)]) == 0
    assert "finetuned site-2" in page.read_text()
    assert os.environ.get("HOME", "/nowhere") not in page.read_text()


@pytest.mark.slow
def test_variants_of_a_federation_are_judged_beside_each_other(
    tmp_path: Path, tiny_site_files: list[Path]
) -> None:
    experiment, variants, out = (tmp_path / name for name in ("experiment.yaml", "variants.yaml", "out"))
    experiment.write_text(EXPERIMENT + "evaluation: {metrics: [psnr, ssim]}\n")
    variants.write_text("plain:\nlocal-norm:\n  federation: {strategy: fedbn}\n")
    pattern = str(tiny_site_files[0].parents[1] / "*" / "site.yaml")
    command = ["compare", str(experiment), "--sites", pattern, "--variants", str(variants), "--out", str(out)]
    assert main([*command, "--workers", "2"]) == 0
    with (out / "values.csv").open(newline="") as stream:
        found = {(row["model"], row["site"]) for row in csv.DictReader(stream) if row["metric"] == "psnr"}
    assert found == {
        (model, site) for model in ("original", "plain", "local-norm") for site in ("site-1", "site-2")
    }
    assert "local-norm less plain" in (out / "comparison.txt").read_text()
    assert set(json.loads((out / "comparison.json").read_text())["psnr"]["differences"]) == {"local-norm"}

    # Judged with what each site kept: normalisation as at the start would give other figures.
    matrix = json.loads((out / "comparison.json").read_text())["psnr"]["models"]["local-norm"]["sites"]
    run = next(out.glob("seed-*/local-norm"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    said = {r["site"]: r["psnr_enhanced"] for r in rows if r["split"] == "test" and r["kind"] == "site"}
    assert {site: figure["mean"] for site, figure in matrix.items()} == pytest.approx(said, abs=1e-4)

    # Other variants do not go there, and nothing is written over.
    before = {path: path.read_bytes() for path in [*(out / "variants").iterdir(), out / "plan.json"]}
    variants.write_text("plain:\nlocal-norm:\n  federation: {strategy: median}\n")
    assert main(command) == ExitCode.CONFIGURATION
    assert {path: path.read_bytes() for path in [*(out / "variants").iterdir(), out / "plan.json"]} == before

    page = tmp_path / "report.html"
    assert main(["report", str(run), "--comparison", str(out), "--out", str(page)]) == 0
    assert "held against the first variant" in page.read_text()
