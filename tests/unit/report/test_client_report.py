"""The hospital's page: complete, private, worst cases first, and no figure where there is none."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from client.report.ordering import sort_key, told
from client.report.page import Request, write_report
from client.report.pictures import draw
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import EvaluationItem, SiteData
from hqgnet.data.site_files import Sample
from hqgnet.errors import ConfigurationError, DataError
from hqgnet.evaluation import Judged, evaluate_site
from hqgnet.guidance import site_guidance
from hqgnet.model_file import load_model
from hqgnet.report.figures import write
from tests.page_structure import Page, assert_sound

Hospital = Callable[..., Path]


def report(site: Path, model: Path, **options: object) -> str:
    path = write_report(Request(site, model, **options))  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_the_page_is_sound_private_and_deterministic(hospital: Hospital, model_file: Path) -> None:
    site = hospital()
    html = report(site, model_file)
    shown = assert_sound(html)
    path = site.parent / "work" / "report.html"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "This page stays at site-1." in shown.text
    assert [text for level, text in shown.headings if level == 2] == [
        "Figures",
        "Spread over images",
        "Worst cases",
        "Model and settings",
    ]
    assert report(site, model_file) == html
    assert len(shown.all("article", _class="case")) == 3
    assert hashlib.sha256(model_file.read_bytes()).hexdigest() in shown.text
    # What the model's file says is text, whatever it is.
    assert "<b>highest</b>" in shown.text


def test_its_one_script_is_the_one_the_policy_names(hospital: Hospital, model_file: Path) -> None:
    html = report(hospital(), model_file)
    (script,) = Page(html).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in html
    assert "fetch" not in script and "XMLHttpRequest" not in script


def test_figures_are_those_that_the_server_would_be_told(hospital: Hospital, model_file: Path) -> None:
    site = hospital()
    html = report(site, model_file)
    model, data = load_model(model_file), SiteData.open(load_site_config(site))
    size = model.experiment.image_size
    guide = site_guidance(model.networks, data, model.experiment, torch.device("cpu"))
    metrics = model.experiment.metrics
    row = evaluate_site(model.networks, data, guide, size, "test", with_task=True, metrics=metrics).row()
    for title, metric, decimals in (
        ("PSNR (dB)", "psnr", 2),
        ("SSIM", "ssim", 3),
        ("Dice, over all pixels", "dice", 3),
        ("Dice, mean over images", "dice_image", 3),
        ("Entropy (bits)", "entropy", 2),
    ):
        cells = [write(row[f"{metric}_{version}"], decimals) for version in ("original", "enhanced")]
        expected = "".join(f'<td class="count">{cell}</td>' for cell in cells)
        assert f'<tr><th scope="row">{title}</th>{expected}' in html, title
    # Of the site's modality S_HQ and PIQE are usual; this model's experiment does not ask for them.
    assert not {"s_hq_enhanced", "piqe_enhanced"} & row.keys()
    assert "S_HQ" not in html and "PIQE" not in html


def test_an_image_without_a_figure_says_why(hospital: Hospital, model_file: Path) -> None:
    html = report(hospital(("mask",), ("twin",), ("mask", "twin")), model_file)
    assert_sound(html)
    cases = dict(re.findall(r'<article class="case" aria-labelledby="case-(\d)">(.*?)</article>', html, re.S))
    reasons = {
        number: sorted(re.findall(r'row">([^<]*)</th><td colspan="3" class="why">n/a: ([^<]*)<', text))
        for number, text in cases.items()
    }
    no_mask = [("AUC", "no mask"), ("Dice", "no mask")]
    no_twin = [("PSNR (dB)", "no clean twin"), ("SSIM", "no clean twin")]
    assert reasons == {"1": no_mask, "2": no_twin, "3": sorted(no_mask + no_twin)}
    assert "show-mask" in cases["2"] and "show-mask" not in cases["1"]
    # Sorted: by Dice, then by PSNR, then by what needs nothing.
    assert list(cases) == ["2", "1", "3"]
    assert "Worst first: 1 by the change of Dice" in html


def test_a_site_without_masks_and_twins_has_a_page(hospital: Hospital, model_file: Path) -> None:
    everything = ("mask", "twin")
    html = report(hospital(everything, everything, everything), model_file)
    text = re.sub(r"\s+", " ", assert_sound(html).text)
    assert "PSNR (dB)n/an/an/ano clean twinn/an/a" in text
    assert "3 by the relative change of average gradient and entropy together" in text


def test_the_worst_come_first() -> None:
    rows = [
        {"entropy_original": 5.0, "entropy_enhanced": 1.0},
        {"psnr_original": 20.0, "psnr_enhanced": 25.0},
        {"dice_original": 0.5, "dice_enhanced": 0.7, "psnr_original": 30.0, "psnr_enhanced": 10.0},
        {"psnr_original": 20.0, "psnr_enhanced": 19.0},
        {"dice_original": 0.5, "dice_enhanced": 0.2},
        {"dice_original": 0.5, "dice_enhanced": float("nan")},
    ]
    ordered = sorted(range(len(rows)), key=lambda number: sort_key(rows[number]))
    assert ordered == [4, 2, 3, 1, 0, 5]
    assert told(map(sort_key, rows)).startswith("Worst first: 2 by the change of Dice")


def test_names_are_shown_only_when_asked_for(hospital: Hospital, model_file: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    site = hospital(rename=evil)
    data = SiteData.open(load_site_config(site))
    names = [sample.path.name for sample in data.lq["test"]]
    assert any(evil in name for name in names)
    shown = assert_sound(report(site, model_file))
    assert not any(name in shown.text or name.split(".")[0] in shown.text for name in names)
    named = assert_sound(report(site, model_file, names=True))
    assert all(name in named.text for name in names)


def test_what_is_left_out_is_said(hospital: Hospital, model_file: Path) -> None:
    site = hospital()
    one = report(site, model_file, images=1)
    assert len(Page(one).all("article")) == 1
    assert "1 are shown; 2 that did better are left out" in re.sub(r"\s+", " ", Page(one).text)
    every = report(site, model_file)
    first = re.findall(r'id="case-(\d)"', every)[0]
    assert re.findall(r'id="case-(\d)"', one) == [first]
    none = report(site, model_file, images=0)
    assert not Page(none).all("img") and "Worst cases" not in none
    assert_sound(none)


def test_pictures_are_the_images_and_overlays_the_masks() -> None:
    image = torch.zeros(3, 40, 60)
    image[0, :, :30] = 1.0
    mask = torch.zeros(1, 40, 60)
    mask[:, :20] = 1.0
    item = EvaluationItem(0, Sample(Path("a.png"), "a"), image, mask, None)
    prediction = {"original": torch.zeros(1, 1, 40, 60), "enhanced": mask.unsqueeze(0)}
    pictures = draw(Judged(item, image.flip(2).unsqueeze(0), prediction))
    assert (pictures.width, pictures.height) == (60, 40)
    np.testing.assert_array_equal(decoded(pictures.original)[20], [[255, 0, 0]] * 30 + [[0, 0, 0]] * 30)
    np.testing.assert_array_equal(decoded(pictures.enhanced)[20], [[0, 0, 0]] * 30 + [[255, 0, 0]] * 30)
    assert pictures.mask is not None and pictures.prediction_enhanced is not None
    for overlay in (pictures.mask, pictures.prediction_enhanced):
        opaque = decoded(overlay, "RGBA")[..., 3]
        assert (opaque[:20] == 255).all() and (opaque[20:] == 0).all()


def test_large_pictures_are_made_smaller() -> None:
    image = torch.rand(3, 300, 900, generator=torch.Generator().manual_seed(0))
    item = EvaluationItem(0, Sample(Path("a.png"), "a"), image, (image[:1] > 0.5).float(), None)
    pictures = draw(Judged(item, image.unsqueeze(0), {}))
    assert (pictures.width, pictures.height) == (512, 171)
    assert pictures.original.startswith("data:image/jpeg;base64,")
    assert pictures.prediction_original is None
    assert pictures.mask is not None and decoded(pictures.mask, "RGBA").shape == (171, 512, 4)


def test_what_does_not_fit_is_refused(hospital: Hospital, model_file: Path) -> None:
    site = hospital()
    text = site.read_text()
    site.write_text(text.replace("modality: fundus", "modality: ccm"))
    with pytest.raises(ConfigurationError, match="modality"):
        report(site, model_file)
    site.write_text(text)
    split = re.search(r"file: (\S+)", text)
    assert split is not None
    table = site.parent / split.group(1)
    table.write_text(table.read_text().replace(",test", ",train"))
    with pytest.raises(DataError, match="split test"):
        report(site, model_file)


def test_the_command_writes_the_page(hospital: Hospital, model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    arguments = ["report", str(hospital()), "--model", str(model_file), "--out", str(out), "--images", "2"]
    command = [sys.executable, "-m", "client.cli", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert (finished.returncode, finished.stdout) == (0, f"{out}\n"), finished.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert_sound(out.read_text())


def decoded(uri: str, mode: str = "RGB") -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    _, _, data = uri.partition("base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert(mode))
