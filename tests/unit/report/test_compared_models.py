"""The comparison beside a run: which of its models is the run's, and what a heat map says of single sites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hqgnet.errors import ConfigurationError, DataError
from server.comparison.judging import Value, read_values, write_values
from server.report.comparison import read_comparison
from server.report.page import page
from server.report.record import read_run
from tests.page_structure import Page, assert_sound
from tests.report_samples import SITES, experiment, write_comparison, write_run, write_variants

MINUS = "\u2212"


def plain(html: str) -> str:
    return " ".join(Page(html).text.split())


def change_plan(folder: Path, **changes: Any) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(plan | changes))


def test_a_cell_tells_the_difference_of_the_same_seeds_and_images(tmp_path: Path) -> None:
    folder = write_variants(tmp_path / "cmp")
    # The second seed, with which every model is better by 6, was trained for the first variant alone; of one
    # image that it finds hard the variant has no figure.
    means = {"original": (0, 0), "plain": (3, 9), "better": (4, None)}
    values = [
        Value(seed, model, site, image, "psnr", 15.0 + mean - 20.0 * (image == 4))
        for model, of_seeds in means.items()
        for seed, mean in enumerate(of_seeds, 1)
        for site in SITES[:2]
        for image in range(5)
        if mean is not None and (model, image) != ("better", 4)
    ]
    write_values(folder / "values.csv", values)
    (psnr,) = read_comparison(folder, read_run(write_run(tmp_path / "run"))).maps
    rows = {row.model: row for row in psnr.rows}
    assert [cell.change for cell in rows["better"].cells] == ["+1.00", "+1.00"]
    assert rows["better"].difference[0] == "+1.00"
    assert {cell.style for cell in rows["better"].cells} == {"heat-up1"}
    # The originals are paired likewise: they are the same with every seed.
    assert [cell.change for cell in rows["original"].cells] == [f"{MINUS}6.00", f"{MINUS}6.00"]
    assert psnr.widest == "6.00"
    assert [cell.change for cell in rows["plain"].cells] == ["", ""]


def test_a_site_without_a_common_image_has_no_difference(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "cmp")
    kept = [
        value
        for value in read_values(folder / "values.csv")
        if value.site != "aachen"
        or value.model not in ("federated", "alone aachen")
        or (value.image < 6) == (value.model == "federated")
    ]
    write_values(folder / "values.csv", kept)
    psnr = read_comparison(folder, read_run(write_run(tmp_path / "run"))).maps[0]
    cell = next(row for row in psnr.rows if row.model == "federated").cells[0]
    assert (cell.change, cell.style) == ("", "heat-none") and cell.mean != "n/a"


@pytest.mark.parametrize(("changes", "variant"), [({}, "plain"), ({"image_size": 96}, "better")])
def test_a_run_of_a_variant_is_said_to_be_one(tmp_path: Path, changes: dict[str, Any], variant: str) -> None:
    record = read_run(write_run(tmp_path / "run", name="elsewhere", seed=9, **changes))
    compared = read_comparison(write_variants(tmp_path / "cmp"), record)
    assert (compared.nearest, compared.differs) == (variant, [])
    written = plain(page(record, compared))
    assert "Another experiment" not in written
    assert f"trained its own models with this run's configuration, which is variant {variant}." in written


def test_a_run_of_no_variant_is_told_from_the_nearest(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run", image_size=96, channels=1))
    compared = read_comparison(write_variants(tmp_path / "cmp"), record)
    assert (compared.nearest, compared.differs) == ("better", ["channels"])
    said = (
        "Another experiment was compared. The nearest variant, better, differs from this run's in channels:"
    )
    assert said in plain(page(record, compared))


def test_the_experiment_that_no_variant_leaves_as_it_stands_was_not_compared(tmp_path: Path) -> None:
    folder = write_variants(tmp_path / "cmp")
    variants = {"better": experiment(name="better", image_size=96), "luckier": experiment(preset="tiny")}
    change_plan(folder, variants=variants)
    compared = read_comparison(folder, read_run(write_run(tmp_path / "run")))
    assert compared.differs == ["image_size"]


def test_variants_are_compared_as_they_were_run(tmp_path: Path) -> None:
    # plan.json holds what the variant's file says, without defaults.
    folder = write_variants(tmp_path / "cmp")
    phases = {name: {"rounds": 2, "steps": 50} for name in ("pretrain", "enhance", "cooperate")}
    bare = {"name": "plain", "modality": "fundus", "channels": 3, "image_size": 96, "phases": phases}
    change_plan(folder, variants={"plain": bare})
    record = read_run(write_run(tmp_path / "run", image_size=96, phases=phases))
    assert read_comparison(folder, record).differs == []


def test_a_variant_that_is_not_judged_yet_holds_nothing_up(tmp_path: Path) -> None:
    folder = write_variants(tmp_path / "cmp")
    plan = json.loads((folder / "plan.json").read_text())
    newest = {"newest": experiment(name="newest", preset="tiny", image_size=128)}
    change_plan(folder, variants=newest | plan["variants"])
    record = read_run(write_run(tmp_path / "run", preset="tiny", image_size=128))
    compared = read_comparison(folder, record)
    assert compared.base == "plain"
    assert compared.maps[0].widest == "3.50"
    assert compared.maps[0].verdicts == ["PSNR: better +1.50, +1.50 to +1.50, seeds +1.00, +2.00."]
    # The run's own variant has no figures: what is told is of others.
    assert compared.differs == ["image_size"]


def test_the_sites_section_does_not_ask_for_what_it_was_given(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    compared = read_comparison(write_variants(tmp_path / "cmp"), record)
    with_variants, alone = (plain(page(record, given)) for given in (compared, None))
    assert "no site sends; a hospital's own report has those of its own images." in with_variants
    assert "shows them here" not in with_variants and "--comparison shows them here" in alone


def test_of_a_run_without_its_experiment_it_is_not_known(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "experiment.json").unlink()
    record = read_run(run)
    for folder in (write_comparison(tmp_path / "cmp"), write_variants(tmp_path / "variants")):
        compared = read_comparison(folder, record)
        assert compared.differs is None
        written = page(record, compared)
        assert_sound(written)
        assert "with this run's configuration" not in plain(written)
        assert "It is not known whether this run's configuration was compared" in plain(written)


def test_a_mean_without_an_interval_is_shown_alone(tmp_path: Path) -> None:
    folder = write_variants(tmp_path / "cmp")
    values = read_values(folder / "values.csv")
    write_values(folder / "values.csv", [v for v in values if v.site == SITES[0] or v.image == 0])
    record = read_run(write_run(tmp_path / "run"))
    compared = read_comparison(folder, record)
    row = next(row for row in compared.maps[0].rows if row.model == "better")
    # Of the second site one image is left, so that the mean over sites has no interval either.
    assert [cell.interval == "no interval" for cell in (*row.cells, row.mean)] == [False, True, True]
    assert (row.cells[1].mean, row.cells[1].change) == ("20.00", "+1.50")
    assert row.difference == ["+1.50", "no interval", "seeds +1.00, +2.00"]
    assert compared.maps[0].verdicts == []
    assert_sound(page(record, compared))


def test_a_comparison_becomes_a_heat_map(completed: Path, tmp_path: Path) -> None:
    record = read_run(completed)
    compared = read_comparison(write_comparison(tmp_path / "cmp"), record)
    assert compared.differs == []
    psnr = compared.maps[0]
    assert psnr.figure.name == "psnr"
    by_model = {row.model: row for row in psnr.rows}
    assert next(iter(by_model)) == "original" and "federated" in by_model
    # Sites' own models gain 1, 3.5 and 6 dB, the federation 4.
    assert [cell.change for cell in by_model["federated"].cells] == ["+3.00", "+0.50", f"{MINUS}2.00"]
    assert [cell.style for cell in by_model["federated"].cells] == ["heat-up2", "heat-up1", "heat-down2"]
    assert by_model["alone bergen"].cells[1].is_held_against
    assert by_model["original"].cells[2].style == "heat-down4"
    assert "beats the site's own model at 2 of 3 sites (aachen, bergen), at 2 clear of 0" in psnr.verdicts[0]
    assert compared.maps[1].verdicts == []  # more average gradient is not better
    gain = compared.gains[("cadiz", "psnr")]
    assert gain.images == 12 and gain.mean == pytest.approx(4.0)
    written = page(record, compared)
    assert_sound(written)
    assert "+4.00 [+4.00, +4.00]" in written
    assert "Another experiment was compared" not in written


def test_dice_of_a_comparison_is_not_taken_for_that_of_the_run(completed: Path, tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "cmp")
    gains = {"original": 0.4, "federated": 0.6, "pooled": 0.7, f"alone {SITES[0]}": 0.5}
    more = [
        Value(1, model, SITES[0], image, metric, gain + 0.01 * image)
        for metric in ("dice_image", "dice", "grade_f1")
        for model, gain in gains.items()
        for image in range(3)
    ]
    write_values(folder / "values.csv", [*read_values(folder / "values.csv"), *more])
    compared = read_comparison(folder, read_run(completed))
    # Figures that an earlier version took of single images, though one image has none, are not shown.
    assert [found.figure.name for found in compared.maps] == ["psnr", "average_gradient", "dice_image"]
    said = compared.maps[-1].verdicts[0]
    assert said.startswith("Dice, mean over images: the federation") and "over the originals" not in said
    assert (SITES[0], "dice_image") in compared.gains and (SITES[0], "dice") not in compared.gains
    assert "the downstream network of the federated model." in plain(page(read_run(completed), compared))


def test_variants_are_held_against_the_first(completed: Path, tmp_path: Path) -> None:
    record = read_run(completed)
    compared = read_comparison(write_variants(tmp_path / "cmp"), record)
    psnr, ssim = compared.maps
    assert ssim.verdicts == []
    rows = {row.model: row for row in psnr.rows}
    assert list(rows) == ["original", "plain", "better", "luckier"]
    assert rows["plain"].difference == [] and rows["plain"].cells[0].is_held_against
    assert rows["plain"].seeds == "18.60, 19.60" and rows["original"].seeds == ""
    assert rows["better"].difference == ["+1.50", "+1.50 to +1.50", "seeds +1.00, +2.00", "clear of 0"]
    # Better on the mean, and every image so, but not with each seed.
    assert rows["luckier"].difference == ["+1.50", "+1.50 to +1.50", f"seeds +4.00, {MINUS}1.00"]
    assert psnr.verdicts == ["PSNR: better +1.50, +1.50 to +1.50, seeds +1.00, +2.00."]
    written = page(record, compared)
    assert (2, "Which variant") in assert_sound(written).headings
    assert "held against the first that was judged, plain" in plain(written)
    # Of what the run's sites gained, variants say nothing.
    assert "in the comparison" not in written


def test_a_comparison_of_another_experiment_is_told_apart(completed: Path, tmp_path: Path) -> None:
    other = write_comparison(tmp_path / "cmp", image_size=96, name="other", seed=8)
    compared = read_comparison(other, read_run(completed))
    assert compared.differs == ["image_size"]
    assert "It differs from this run's in image_size" in plain(page(read_run(completed), compared))


def test_no_comparison_no_page(completed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no finished comparison"):
        read_comparison(tmp_path, read_run(completed))
    folder = write_comparison(tmp_path / "cmp")
    (folder / "plan.json").unlink()
    with pytest.raises(DataError, match=r"plan\.json"):
        read_comparison(folder, read_run(completed))
