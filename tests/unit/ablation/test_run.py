"""A table from end to end, on tiny sites: trained once, resumed, refused, told in the paper's layout."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hqgnet import cli
from hqgnet.ablation.catalogue import table_named
from hqgnet.ablation.judging import Verdict
from hqgnet.ablation.layout import table_text
from hqgnet.ablation.results import Finished
from hqgnet.ablation.run import ablate
from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.errors import ConfigurationError, ExitCode
from hqgnet.model_file import load_model
from tests.unit.ablation.questions import CPU, asked


def models(out: Path) -> dict[str, int]:
    """When each model of a folder was written."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}


def test_a_second_call_trains_and_judges_nothing(
    results: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    before, told = models(results), []
    assert len(before) == 4
    rows = {path: path.stat().st_mtime_ns for path in results.rglob("row.json")}
    again = asked(results, experiment, "Va", "learnable", "guidance", seeds=(1, 2))
    text, _ = ablate(again, site, CPU, told.append)
    assert models(results) == before
    assert {path: path.stat().st_mtime_ns for path in results.rglob("row.json")} == rows
    assert [line.split(": ")[1] for line in told] == ["is there already"] * 4
    assert text == (results / "Va" / "table.txt").read_text()


def test_the_table_is_laid_out_as_the_paper_does(finished: Path) -> None:
    """Golden but for our own figures: the paper's lines are the lines of its Table Va, fundus."""
    lines = (finished / "Va" / "table.txt").read_text().splitlines()
    assert lines[0] == "Table Va: effect of the HQ guidance mechanism"
    assert "8 LQ and 8 HQ training images" in lines[1] and "seeds 1, 2" in lines[1]
    assert "2 steps (1 x 2), 1 LQ images each" in lines[2] and "1 of pretraining (1/4)" in lines[2]
    table = lines[lines.index("") :]
    assert table[2].split("  ")[0] == "Metrics"
    assert [title.strip() for title in table[2].split("  ") if title.strip()] == [
        "Metrics",
        "Learnable tensor",
        "w/ guidance",
    ]
    words = [line.split() for line in table]
    assert ["S_HQ", "↑", "ours", "n/a", "n/a"] in words
    assert words[words.index(["S_HQ", "↑", "ours", "n/a", "n/a"]) + 1] == ["paper", "0.34", "0.60"]
    assert ["paper", "17.64", "12.16"] in words
    (psnr,) = [line for line in words if line[:1] == ["PSNR"]]
    assert psnr[2] == "ours" and psnr[4] == "±" and psnr[7] == "±"


def test_the_files_hold_mean_spread_and_every_site(finished: Path) -> None:
    whole = json.loads((finished / "Va" / "table.json").read_text())
    assert [row["row"] for row in whole["rows"]] == ["learnable", "guidance"]
    figure = whole["rows"][1]["figures"]["psnr"]
    first, second = figure["values"]["1"], figure["values"]["2"]
    assert figure["mean"] == pytest.approx((first + second) / 2)
    assert figure["standard_deviation"] == pytest.approx(abs(first - second) / 2**0.5)
    with (finished / "Va" / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    (ours,) = [
        row
        for row in rows
        if (row["row"], row["seed"], row["site"], row["metric"]) == ("guidance", "1", "all", "psnr_enhanced")
    ]
    assert float(ours["value"]) == first and ours["paper"] == ""
    assert {row["site"] for row in rows} == {"all", "site-1"}


def test_another_budget_experiment_or_image_is_refused(
    results: Path, experiment: Experiment, site: list[SiteData], tmp_path: Path
) -> None:
    before = models(results)
    changed = experiment.model_copy(update={"image_size": 40})
    other = SiteData(
        site[0].config, site[0].lq, {**site[0].hq, "train": site[0].hq["train"][:-1]}, (), (48, 48)
    )
    for question, data, said in (
        (asked(results, experiment, "Va", "guidance", budget=3), site, "another --budget (2 steps)"),
        (asked(results, changed, "Va", "guidance"), site, "another experiment"),
        (asked(results, experiment, "Va", "guidance"), [other], "other images"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            ablate(question, data, CPU, lambda told: None)
        assert said in caught.value.problems[0].what
        assert "another --out" in caught.value.problems[0].remedy
    assert models(results) == before


def test_what_was_interrupted_begins_again_and_the_rest_stays(
    tmp_path: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    out = tmp_path / "out"
    question = asked(out, experiment, "Vf", "none", "haar")

    def interrupt(told: str) -> None:
        if told.startswith("LHaar→LCA") or "cooperate" in told:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(question, site, CPU, interrupt)
    before = models(out)
    assert len(before) == 1 and not (out / "Vf" / "table.txt").exists()
    told: list[str] = []
    ablate(question, site, CPU, told.append)
    assert told[0] == "w/o LCA, seed 1: is there already" and "LHaar→LCA, seed 1: judged" in told
    assert before.items() <= models(out).items() and len(models(out)) == 2


def test_both_tables_are_of_the_same_trainings(
    tmp_path: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    """What Table III trained, Table VII takes; "HQG-Net" and "HQG-Net+" begin with one enhancer."""
    out, rows = tmp_path / "out", ("original", "idrlp", "hqgnet", "stillgan-plus", "hqgnet-plus")
    ablate(asked(out, experiment, "III", *rows), site, CPU, lambda told: None)
    before = models(out)
    kinds = sorted(Path(name).parts[2].rsplit("-", 1)[0] for name in before)
    assert kinds == ["hqgnet-enhance", "hqgnet-joint", "stillgan-enhance", "stillgan-joint"]
    text, whole = ablate(asked(out, experiment, "VII", *rows), site, CPU, lambda told: None)
    assert before.items() <= models(out).items()
    kinds = sorted(Path(name).parts[2].rsplit("-", 1)[0] for name in models(out).keys() - before.keys())
    assert kinds == ["hqgnet-downstream", "idrlp-downstream", "original-downstream"]
    for row in whole["rows"]:
        assert row["figures"]["dice_image"]["mean"] is not None, row["row"]
    assert text.splitlines()[0] == "Table VII: segmentation"
    by_kind = {
        Path(name).parts[2].rsplit("-", 1)[0]: load_model(out / name).networks.state_dict()
        for name in models(out)
    }
    frozen, joint = by_kind["hqgnet-downstream"], by_kind["hqgnet-joint"]
    for name, value in by_kind["hqgnet-enhance"].items():
        if name.startswith(("generator.", "cue_extractor.")):
            assert torch.equal(frozen[name], value), name
    weight = (
        "generator.stem.0.weight"
        if "generator.stem.0.weight" in joint
        else next(name for name in joint if name.startswith("generator.") and name.endswith("weight"))
    )
    assert not torch.equal(joint[weight], frozen[weight])


def test_untouched_images_have_the_originals_figures(
    tmp_path: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    ablate(asked(tmp_path, experiment, "III", "original"), site, CPU, lambda told: None)
    figures = json.loads((tmp_path / "III/seed-1/original/row.json").read_text())["verdict"]["figures"]
    assert figures["psnr_enhanced"] == figures["psnr_original"] is not None


@pytest.fixture(scope="module")
def nerves(tmp_path_factory: pytest.TempPathFactory) -> list[SiteData]:
    """A synthetic site of nerves, with masks and grades."""
    out = tmp_path_factory.mktemp("nerves") / "sites"
    counts = {"train_lq": 4, "train_hq": 4, "validation_lq": 1, "test_lq": 2, "test_hq": 2}
    return [SiteData.open(load_site_config(make_sites("ccm", 1, 5, out, size=48, **counts)[0]))]


@pytest.fixture(scope="module")
def on_nerves(experiment: Experiment) -> dict[str, Any]:
    given = experiment.model_dump(exclude_unset=True)
    return given | {"modality": "ccm", "channels": 1, "evaluation": {"metrics": ["snr_3"]}}


def test_noise_on_the_guide_has_its_lines(
    tmp_path: Path, on_nerves: dict[str, Any], nerves: list[SiteData]
) -> None:
    given = Experiment.model_validate(on_nerves)
    text, whole = ablate(asked(tmp_path, given, "fig8", "vector"), nerves, CPU, lambda told: None)
    assert text.startswith("fig8: noise on the guide")
    assert "5 drawings of each strength" in text
    figures = whole["rows"][0]["figures"]
    noisy = [f"snr_3@gaussian {strength}" for strength in ("0.05", "0.1", "0.2", "0.4")]
    assert [name for name in figures if "@" in name] == noisy
    assert len({figures[name]["mean"] for name in ("snr_3", *noisy)}) > 1
    assert any(line.startswith("SNR_3 ↑ gaussian 0.05  ours") for line in text.splitlines())


def test_grading_has_a_line_a_level(
    tmp_path: Path, on_nerves: dict[str, Any], nerves: list[SiteData]
) -> None:
    given = Experiment.model_validate(
        on_nerves | {"downstream": {"network": "tests.unit.ablation.graders:Plain", "task": "grading"}}
    )
    text, _ = ablate(asked(tmp_path, given, "viii", "hqgnet", "hqgnet-plus"), nerves, CPU, lambda told: None)
    words = [line.split() for line in text.splitlines()]
    (level,) = [number for number, line in enumerate(words) if line[:4] == ["ACC,", "Level", "1", "↑"]]
    assert words[level + 1] == ["paper", "0.941", "0.972", "(+0.031)"]
    assert all(0 <= float(cell) <= 1 for cell in words[level][5:])


def test_a_figure_that_few_images_have_says_so() -> None:
    """A mean over some of the images is not to be taken for one over all of them."""
    table = table_named("VII")
    rows = {
        row: [Finished(row.name, 1, None, Verdict({"images": 16.0, "dice_image_enhanced": 0.5}, {}, gaps))]
        for row, gaps in zip(
            table.rows, [{}, {"segmentation": (3, "no mask")}, {"segmentation": (3, "no mask")}], strict=False
        )
    }
    lines = table_text(table, "ccm", rows, ["head"]).splitlines()
    assert "Dice ↑: of 3 images (no mask): CAEFI, ATA" in lines
    rows[table.rows[1]].append(Finished("caefi", 2, None, Verdict({"images": 16.0}, {})))
    assert "Dice ↑: of 3 images (no mask): CAEFI, ATA" in table_text(table, "ccm", rows, ["head"])
    assert not any("Original" in line for line in lines if "images (" in line)


def test_a_table_on_segmentation_needs_masks(
    tmp_path: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    bare = {
        split: tuple(type(sample)(sample.path, sample.patient) for sample in samples)
        for split, samples in site[0].lq.items()
    }
    without = SiteData(site[0].config, bare, site[0].hq, (), (48, 48))
    with pytest.raises(ConfigurationError) as caught:
        ablate(asked(tmp_path / "out", experiment, "VII", "original"), [without], CPU, lambda told: None)
    assert "no site has masks" in caught.value.problems[0].what
    assert not (tmp_path / "out").exists()


def test_the_command(
    tmp_path: Path,
    experiment: Experiment,
    tiny_site_files: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "experiment.yaml"
    given = json.loads(experiment.model_dump_json(exclude_unset=True))
    file.write_text(yaml.safe_dump(given))
    call = ["ablate", "iii", "--experiment", str(file), "--site", str(tiny_site_files[0]), "--budget", "2"]
    call += ["--out", str(tmp_path / "out"), "--json"]
    assert cli.main([*call, "--rows", "original,vanished"]) == ExitCode.CONFIGURATION
    assert "'vanished' is no row of Table III" in capsys.readouterr().err
    assert cli.main([*call, "--rows", "original,ata", "--seeds", "4"]) == ExitCode.OK
    printed = capsys.readouterr()
    whole = json.loads(printed.out)
    assert [row["title"] for row in whole["rows"]] == ["Original", "ATA"]
    assert "ATA, seed 4: judged" in printed.err
