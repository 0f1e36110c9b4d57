"""Judging under many guides, as a person calls it, against judging under one."""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import yaml

from hqgnet.cli import main
from hqgnet.config import Experiment, PhaseConfig
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.downstream_config import DownstreamConfig
from hqgnet.errors import ExitCode
from hqgnet.metrics.quality import QualityClassifier, train_quality_classifier
from hqgnet.model_file import load_model, save_model
from hqgnet.networks import Generator, build_networks, networks_of
from hqgnet.robustness import study
from tests.unit.robustness.conftest import SaveModel

SVG = "{http://www.w3.org/2000/svg}"


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def outcome(model: Path, fundus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One call with several sets of guides: what it wrote, and how often it encoded."""
    out, calls = tmp_path_factory.mktemp("out"), []
    encode = Generator.encode

    def counted(self: Generator, lq: torch.Tensor) -> Any:
        calls.append(tuple(lq.shape))
        return encode(self, lq)

    sets = ["one", "all", "stored", "gaussian", "salt-pepper"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Generator, "encode", counted)
        arguments = ["--guides", *sets, "--strengths", "0.3,0.1", "--seed", 4, "--out", out / "many"]
        assert evaluate("--model", model, "--site", fundus, *arguments, "--json", out / "many.json") == 0
    rows = list(csv.DictReader((out / "many" / "guides.csv").open()))
    return {"json": json.loads((out / "many.json").read_text()), "csv": rows, "encoded": calls, "out": out}


def test_every_image_is_encoded_once(outcome: dict[str, Any]) -> None:
    assert len(outcome["encoded"]) == outcome["json"]["images"] == 3


def test_one_guide_gives_the_headline_figures(
    outcome: dict[str, Any], model: Path, fundus: Path, tmp_path: Path
) -> None:
    one, stored = outcome["json"]["conditions"][0], outcome["json"]["conditions"][2]
    for guidance, condition in (("site", one), ("stored", stored)):
        file = tmp_path / "row.json"
        assert evaluate("--model", model, "--site", fundus, "--guidance", guidance, "--json", file) == 0
        row = json.loads(file.read_text())
        for name in ("psnr", "ssim", "entropy", "average_gradient", "dice", "auc"):
            assert condition["metrics"][name]["mean"] == pytest.approx(row[f"{name}_enhanced"], rel=1e-6), (
                name
            )
            assert condition["metrics"][name]["standard_deviation"] is None
            assert outcome["json"]["original"][name] == pytest.approx(row[f"{name}_original"], rel=1e-6), name
    assert one["metrics"]["psnr"]["mean"] != stored["metrics"]["psnr"]["mean"]
    assert one["cue_distance"]["mean"] == 0.0 and stored["cue_distance"]["mean"] > 0


def test_mean_and_spread_are_over_the_guides(outcome: dict[str, Any]) -> None:
    rows = outcome["csv"]
    for condition in outcome["json"]["conditions"]:
        strength = "" if condition["strength"] is None else str(condition["strength"])
        values = [
            float(row["value"])
            for row in rows
            if (row["guides"], row["strength"], row["metric"]) == (condition["guides"], strength, "psnr")
        ]
        told = condition["metrics"]["psnr"]
        assert len(values) == condition["number"]
        assert told["mean"] == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert (told["lowest"], told["highest"]) == (min(values), max(values))
        if len(values) > 1:
            assert told["standard_deviation"] == pytest.approx(statistics.stdev(values), rel=1e-9)
    counts = Counter(row["guides"] for row in rows if row["metric"] == "psnr")
    assert counts == {"original": 1, "one": 1, "all": 4, "stored": 1, "gaussian": 10, "salt-pepper": 10}


def test_stronger_noise_moves_the_cue_further(outcome: dict[str, Any]) -> None:
    moved = {
        (one["guides"], one["strength"]): one["cue_distance"]["mean"] for one in outcome["json"]["conditions"]
    }
    assert 0 < moved["gaussian", 0.1] < moved["gaussian", 0.3]
    assert 0 < moved["salt-pepper", 0.1] < moved["salt-pepper", 0.3]


def test_no_file_or_patient_is_named(outcome: dict[str, Any], fundus: Path) -> None:
    data = SiteData.open(load_site_config(fundus))
    samples = [sample for of in (data.lq, data.hq) for split in of.values() for sample in split]
    names = {sample.path.stem for sample in samples} | {sample.patient for sample in samples}
    files = [path for path in outcome["out"].rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"many.json", "guides.csv", "noise.svg"}
    for file in files:
        text = file.read_text()
        assert str(fundus.parent) not in text
        assert not [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)]


def test_the_drawing_holds_a_panel_a_figure_and_noise_and_says_it_in_words(outcome: dict[str, Any]) -> None:
    root = ElementTree.parse(outcome["out"] / "many" / "noise.svg").getroot()
    panels = root.findall(f"{SVG}svg")
    assert len(panels) == 2 * len({"psnr", "ssim", "dice", "auc", "average_gradient", "entropy"})
    identifiers = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(identifiers)) == len(identifiers)
    for panel in panels:
        title, words = panel.find(f"{SVG}title"), panel.find(f"{SVG}desc")
        assert title is not None and words is not None and title.text and words.text
        assert panel.get("aria-labelledby") == f"{title.get('id')} {words.get('id')}"
        assert "Original images: " in words.text and "0.3" in words.text
        assert len(panel.findall(f"{SVG}g")) == 4
    text = (outcome["out"] / "many" / "noise.svg").read_text()
    assert "NaN" not in text and "None" not in text and "http" not in text.replace(SVG[1:-1], "")


def test_the_same_seed_gives_the_same_bytes_and_another_other_noise(
    outcome: dict[str, Any], model: Path, fundus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", model, "--site", fundus, "--guides", "gaussian", "--strengths", "0.3"]
    tables = []
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        assert evaluate(*common, "--seed", seed, "--out", tmp_path / name) == 0
        tables.append(capsys.readouterr().out)
    for file in ("guides.csv", "noise.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert tables[0] == tables[1] != tables[2]
    # Neither do other sets beside it change it.
    alone = list(csv.DictReader((tmp_path / "a" / "guides.csv").open()))
    assert [row for row in alone if row["guides"] == "gaussian"] == [
        row for row in outcome["csv"] if (row["guides"], row["strength"]) == ("gaussian", "0.3")
    ]


def test_the_table_is_for_people(model: Path, fundus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--model", model, "--site", fundus, "--guides", "all", "one", "--most-guides", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        re.match(r"fundus-\d+|site-\d+", lines[0]) and "3 test images, mean ± standard deviation" in lines[0]
    )
    assert lines[2].split()[:4] == ["guides", "number", "cue", "moved"] and "PSNR (dB)" in lines[2]
    assert lines[4].startswith("none: original")
    assert re.match(r"all HQ images +3 +\d+\.\d % +\d+\.\d\d ± \d+\.\d{3} ", lines[5])
    assert re.match(r"one fixed HQ image +1 +0\.0 % +\d+\.\d\d  ", lines[6])
    assert lines[-1] == "all HQ images: 3 of 4, drawn by seed 0"


def test_a_site_without_masks_and_twins_has_fewer_columns(
    model: Path, fundus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = yaml.safe_load(fundus.read_text())
    site["images"] = {name: site["images"][name] for name in ("lq", "hq")}
    file = fundus.with_name("bare.yaml")
    file.write_text(yaml.safe_dump(site))
    arguments = ["--guides", "one", "poisson", "--strengths", "0.2", "--out", tmp_path / "out"]
    assert evaluate("--model", model, "--site", file, *arguments) == 0
    printed = capsys.readouterr().out
    assert "Entropy" in printed and "PSNR" not in printed and "Dice" not in printed
    names = {row["metric"] for row in csv.DictReader((tmp_path / "out" / "guides.csv").open())}
    assert names == {"average_gradient", "entropy", "cue_distance"}


def test_a_network_that_grades_has_its_headline_figures_too(
    tiny_experiment: Experiment, ccm: Path, tmp_path: Path
) -> None:
    grader = DownstreamConfig(network="tests.unit.ablation.graders:Plain", task="grading")
    update = {"modality": "ccm", "channels": 1, "downstream": grader}
    experiment = tiny_experiment.model_copy(update=update)
    path = tmp_path / "grader.safetensors"
    networks = networks_of(experiment, seed=5)
    save_model(path, networks, experiment, guidance=None, details={"task_trained": True})
    row, many = tmp_path / "row.json", tmp_path / "many.json"
    assert evaluate("--model", path, "--site", ccm, "--json", row) == 0
    assert evaluate("--model", path, "--site", ccm, "--guides", "one", "all", "--json", many) == 0
    headline, found = json.loads(row.read_text()), json.loads(many.read_text())
    one, every = found["conditions"]
    for name in ("grade_acc", "grade_f1", "grade_pre", "grade_sen"):
        assert found["original"][name] == headline[f"{name}_original"] is not None
        assert one["metrics"][name]["mean"] == headline[f"{name}_enhanced"]
        assert every["metrics"][name]["lowest"] is not None
    assert "dice" not in one["metrics"]


def test_a_note_of_several_conditions_is_told_once(
    model: Path, fundus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(model)
    ablation = loaded.experiment.ablation.model_copy(update={"guidance_pool": "ten"})
    experiment = loaded.experiment.model_copy(update={"ablation": ablation})
    path = tmp_path / "pooled.safetensors"
    save_model(path, loaded.networks, experiment, guidance=None)
    assert evaluate("--model", path, "--site", fundus, "--guides", "one", "gaussian", "poisson") == 0
    assert capsys.readouterr().out.count("ablation.guidance_pool is ten") == 1


def test_guides_of_another_modality_and_of_grey_images(
    model: Path, fundus: Path, ccm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--model", model, "--site", fundus, "--guides", f"other:{ccm}") == 0
    assert re.search(r"HQ images of \S+ \(ccm\) +4 ", capsys.readouterr().out)


def test_an_empty_split_is_an_error(model: Path, fundus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = yaml.safe_load(fundus.read_text())
    table = fundus.parent / site["split"]["file"]
    table.with_name("without.csv").write_text(table.read_text().replace("validation", "train"))
    site["split"] = {"file": "without.csv"}
    file = fundus.with_name("without-validation.yaml")
    file.write_text(yaml.safe_dump(site))
    arguments = ["--model", model, "--site", file, "--guides", "one"]
    assert evaluate(*arguments, "--split", "validation") == ExitCode.DATA
    assert "split validation: holds no LQ image" in capsys.readouterr().err


def test_a_quality_classifier_can_be_trained_before_the_images_are_judged(
    model: Path, fundus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_model(model)
    evaluation = loaded.experiment.evaluation.model_copy(update={"metrics": ("s_hq",)})
    judged = loaded.experiment.model_copy(update={"evaluation": evaluation})
    path = tmp_path / "model.safetensors"
    save_model(path, build_networks(judged.numbers, 3, seed=5), judged, guidance=None)

    def train(data: SiteData) -> QualityClassifier:
        return train_quality_classifier(data, 32, 0, steps=1)

    monkeypatch.setattr(study, "site_quality", train)
    out = tmp_path / "row.json"
    assert evaluate("--model", path, "--site", fundus, "--guides", "one", "--json", out) == 0
    [one] = json.loads(out.read_text())["conditions"]
    assert 0 <= one["metrics"]["s_hq"]["mean"] <= 1


def test_mistakes_end_with_their_exit_codes(
    model: Path, fundus: Path, ccm: Path, save: SaveModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", model, "--site", fundus, "--guides"]
    assert evaluate(*common, "nonsense", "other:") == ExitCode.CONFIGURATION
    assert "'nonsense' is unknown" in capsys.readouterr().err
    assert evaluate("--model", model, "--site", ccm, "--guides", "one") == ExitCode.CONFIGURATION
    assert "channels: is 1, the experiment's is 3" in capsys.readouterr().err
    without = save(cue=False)
    assert evaluate("--model", without, "--site", fundus, "--guides", "stored") == ExitCode.MODEL_FILE
    assert evaluate("--model", tmp_path / "none", "--site", fundus, "--guides", "one") == ExitCode.MODEL_FILE
    (tmp_path / "file").touch()
    assert evaluate(*common, "one", "--out", tmp_path / "file") == ExitCode.OUTPUT
    for wrong in (["one", "--strengths", "0"], ["one", "--strengths", "2"], ["one", "--guidance", "stored"]):
        with pytest.raises(SystemExit) as ended:
            evaluate(*common, *wrong)
        assert ended.value.code == ExitCode.USAGE


def test_a_model_without_guidance_is_refused(
    model: Path, fundus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guided = load_model(model).experiment
    ablation = guided.ablation.model_copy(update={"guidance": "none"})
    phases = guided.phases.model_copy(update={"pretrain": PhaseConfig(rounds=0, steps=1)})
    experiment = guided.model_copy(update={"ablation": ablation, "phases": phases})
    path = tmp_path / "model.safetensors"
    save_model(path, networks_of(experiment, seed=1), experiment, guidance=None)
    assert evaluate("--model", path, "--site", fundus, "--guides", "one") == ExitCode.CONFIGURATION
    assert "takes no guide" in capsys.readouterr().err


def test_a_guide_that_changes_nothing_has_no_spread(
    model: Path, fundus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(model)
    networks = build_networks(loaded.experiment.numbers, 3, seed=5)
    with torch.no_grad():
        networks.generator.last.weight.zero_()
    blind = tmp_path / "blind.safetensors"
    save_model(blind, networks, loaded.experiment, guidance=None)
    out = tmp_path / "row.json"
    assert evaluate("--model", blind, "--site", fundus, "--guides", "all", "--json", out) == 0
    [every] = json.loads(out.read_text())["conditions"]
    assert every["metrics"]["psnr"]["standard_deviation"] == 0.0
    assert every["cue_distance"]["highest"] > 0
