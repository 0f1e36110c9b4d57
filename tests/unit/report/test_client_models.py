"""The hospital's page of models that grade, that take no guide, or that have metrics of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch

from client.report.page import Request, write_report
from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.evaluation import evaluate_site, judge
from hqgnet.guidance import site_guidance
from hqgnet.model_file import load_model, save_model
from hqgnet.networks import networks_of
from hqgnet.report.figures import write
from tests.page_structure import Page, assert_sound

Hospital = Callable[..., Path]
GRADING = {"network": "deepgrading", "task": "grading"}


def write_model_of(plan: Experiment, path: Path, *, trained: bool = True, **changes: Any) -> Path:
    """Write an untrained model of an experiment that differs from ``plan``."""
    experiment = Experiment.model_validate(plan.model_dump() | changes)
    networks = networks_of(experiment)
    size = networks.guidance_size
    guidance = torch.zeros(size) if size else None
    save_model(path, networks, experiment, guidance=guidance, details={"task_trained": trained})
    return path


def report(site: Path, model: Path, **options: Any) -> str:
    return write_report(Request(site, model, **options)).read_text(encoding="utf-8")


def fact(html: str, name: str) -> str:
    return unescape(dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", html))[name])


def grade(data: SiteData, number: int, level: int | None) -> None:
    """Give a test image another grade, or none."""
    file = data.config.images.grades
    assert file is not None
    name = data.lq["test"][number].path.name
    rows = [row.rpartition(",") for row in file.read_text().splitlines()]
    given = "" if level is None else str(level)
    file.write_text("".join(f"{of},{given if of.endswith(name) else old}\n" for of, _, old in rows))


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """A site whose images have grades, all test images but the last."""
    counts = {"train_lq": 4, "train_hq": 4, "validation_lq": 1, "test_lq": 3, "test_hq": 1}
    (site,) = make_sites("ccm", 1, 5, tmp_path / "sites", size=64, **counts)
    grade(SiteData.open(load_site_config(site)), -1, None)
    return site


def test_a_model_that_grades_is_told_by_its_grades(
    clinic: Path, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    of_ccm = {"modality": "ccm", "channels": 1, "image_size": 64, "downstream": GRADING}
    model_file = write_model_of(tiny_experiment, tmp_path / "model.safetensors", **of_ccm)
    model, data = load_model(model_file), SiteData.open(load_site_config(clinic))
    guide = site_guidance(model.networks, data, model.experiment, torch.device("cpu"))
    # The first image is graded as the model grades it, so that not all figures are 0.
    said = next(judge(model.networks, data, guide, 64, "test", with_task=True)).grades["enhanced"]
    grade(data, 0, int(said.argmax()))
    data = SiteData.open(load_site_config(clinic))
    assert data.lq["test"][-1].grade is None
    html = report(clinic, model_file)
    assert_sound(html)
    metrics = model.experiment.metrics
    row = evaluate_site(model.networks, data, guide, 64, "test", with_task=True, metrics=metrics).row()
    assert (row["grade_acc_enhanced"] or 0) >= 0.5
    for title, metric in (("Grading accuracy", "grade_acc"), ("Grading F1, over all images", "grade_f1")):
        cells = [write(row[f"{metric}_{version}"], 3) for version in ("original", "enhanced")]
        expected = "".join(f'<td class="count">{cell}</td>' for cell in cells)
        assert f'<tr><th scope="row">{title}</th>{expected}' in html, title
    assert "Dice" not in html.split('id="cases"')[0] and "no mask" not in html
    missing = re.findall(r'row">Grading accuracy</th><td colspan="3" class="why">n/a: ([^<]*)<', html)
    assert missing == ["no grade"]
    assert "mean over the levels" in html


def test_a_grader_that_has_not_learned_is_said_not_to_have(
    clinic: Path, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    of_ccm = {"modality": "ccm", "channels": 1, "image_size": 64, "downstream": GRADING}
    model_file = write_model_of(tiny_experiment, tmp_path / "model.safetensors", trained=False, **of_ccm)
    text = Page(report(clinic, model_file)).text
    assert "no grade; no trained downstream network" in text


def test_the_models_metrics_are_told_and_no_others(
    hospital: Hospital, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    evaluation = {"metrics": ("ssim", "entropy"), "best_by": "ssim"}
    model = write_model_of(tiny_experiment, tmp_path / "model.safetensors", evaluation=evaluation)
    html = report(hospital(), model, images=0)
    titles = re.findall(r'<tr><th scope="row">([^<]*)</th>', html)
    assert titles == [
        "SSIM",
        "Dice, mean over images",
        "AUC, mean over images",
        "Entropy (bits)",
        "Dice, over all pixels",
        "AUC, over all pixels",
    ]


@pytest.mark.parametrize(
    ("ablation", "told"),
    [
        ({}, "the site's first HQ test image"),
        ({"guidance_pool": "ten"}, "for each image one of the site's first 2 HQ test images, by its number"),
        ({"guidance": "none"}, "none: this model takes no guide"),
    ],
)
def test_the_guide_is_the_one_that_was_taken(
    hospital: Hospital, tiny_experiment: Experiment, tmp_path: Path, ablation: dict[str, str], told: str
) -> None:
    phases = tiny_experiment.phases.model_dump() | {"pretrain": {"rounds": 0, "steps": 2}}
    file = tmp_path / "model.safetensors"
    model = write_model_of(tiny_experiment, file, ablation=ablation, phases=phases)
    html = report(hospital(), model, images=0)
    assert fact(html, "guide") == told


def test_a_site_without_hq_images_is_guided_by_the_stored_cue(
    hospital: Hospital, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    model = write_model_of(tiny_experiment, tmp_path / "model.safetensors")
    site = hospital()
    site.write_text(re.sub(r"(?m)^  hq:.*\n", "", site.read_text()))
    split = re.search(r"file: (\S+)", site.read_text())
    assert split is not None
    table = site.parent / split.group(1)
    kept = [line for line in table.read_text().splitlines(True) if "/hq/" not in line and "hq" not in line]
    table.write_text("".join(kept))
    html = report(site, model, images=0)
    told = "the cue that is stored with the model: the site has no HQ images"
    assert fact(html, "guide") == told
