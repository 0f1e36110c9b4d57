"""Several seeds: all that are finished are told, whichever call made them, and a spread is a measured one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hqgnet.ablation.catalogue import rows_named, table_named
from hqgnet.ablation.head import UNSPREAD
from hqgnet.ablation.judging import Verdict
from hqgnet.ablation.results import Cell, Finished, cell_of
from hqgnet.ablation.run import ablate
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from tests.unit.ablation.questions import CPU, asked


def test_a_seed_that_is_added_joins_the_others(
    results: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    """The table is of all that the folder holds; a row that lacks a seed says so."""
    before = json.loads((results / "Va" / "table.json").read_text())["rows"]
    added = asked(results, experiment, "Va", "guidance", seeds=(3,))
    text, _ = ablate(added, site, CPU, lambda told: None)
    learnable, guidance = json.loads((results / "Va" / "table.json").read_text())["rows"]
    assert learnable == before[0]
    values = guidance["figures"]["psnr"]["values"]
    assert list(values) == ["1", "2", "3"]
    assert before[1]["figures"]["psnr"]["values"].items() <= values.items()
    assert guidance["figures"]["psnr"]["mean"] == pytest.approx(sum(values.values()) / 3)
    lines = text.splitlines()
    assert lines[1].endswith("seeds 1, 2, 3.")
    header = next(line for line in lines if line.startswith("Metrics"))
    assert [title.strip() for title in header.split("  ") if title.strip()] == [
        "Metrics",
        "Learnable tensor (2 of 3 seeds)",
        "w/ guidance",
    ]
    with (results / "Va" / "table.csv").open() as stream:
        found = {(row["row"], row["seed"]) for row in csv.DictReader(stream)}
    rows = {"learnable": "12", "guidance": "123"}
    assert found == {(row, seed) for row, seeds in rows.items() for seed in seeds}
    assert (results / "Va" / "table.txt").read_text() == text


def test_what_no_training_has_a_part_in_has_no_spread(
    tmp_path: Path, experiment: Experiment, site: list[SiteData]
) -> None:
    """A spread of 0 would read as measured, and a seed that changes nothing is none that is missing."""
    few = asked(tmp_path, experiment, "III", "original", "idrlp", seeds=(1,))
    text, _ = ablate(few, site, CPU, lambda told: None)
    assert UNSPREAD not in text
    more = asked(tmp_path, experiment, "III", "original", "hqgnet", seeds=(1, 2))
    text, whole = ablate(more, site, CPU, lambda told: None)
    lines = text.splitlines()
    assert UNSPREAD in lines and "seeds 1, 2." in lines[1]
    told = {line.split("  ")[0]: line for line in lines[lines.index("") :]}
    assert "±" in told["HQG-Net"]
    for title in ("Original", "IDRLP"):
        assert "±" not in told[title]
    for row in whole["rows"][:2]:
        assert all(figure["standard_deviation"] is None for figure in row["figures"].values())


def test_a_downstream_network_beside_fixed_images_has_a_spread() -> None:
    """Its figures differ between seeds, those of the images do not."""
    (row,) = rows_named(table_named("III"), ["original"])
    found = [
        Finished("original", seed, "m", Verdict({"psnr_enhanced": 9.0, "dice_image_enhanced": dice}, {}))
        for seed, dice in ((1, 0.4), (2, 0.6))
    ]
    assert cell_of(row, found, "psnr") == Cell(9.0, None, {1: 9.0, 2: 9.0})
    assert cell_of(row, found, "dice_image").standard_deviation == pytest.approx(0.02**0.5)
