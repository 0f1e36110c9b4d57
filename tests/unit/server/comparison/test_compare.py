"""A comparison that is called again: what the folder holds is told, whoever asked for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqgnet.errors import ConfigurationError
from server.comparison import compare as module
from server.comparison.cells import Cell, finished, seeds_in
from server.comparison.compare import Comparison, compare
from server.comparison.gathering import gathered
from server.comparison.judging import Value, read_values, write_values
from server.run_directory import RunDirectory
from server.simulation import Simulation
from tests.e2e.test_simulate import EXPERIMENT

COMPLETED = {"state": "completed", "exit_code": 0, "problems": []}
VARIANTS = {
    "first": "plain:\nlonger: {phases: {enhance: {rounds: 3}}}\n",
    "then": "plain:\nother: {seed: 9}\n",
}


class InTurn:
    """A pool of processes that works at once, in this one."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[..., Any], *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **named))
        return done


def trained(cell: Cell, out: Path) -> None:
    cell.file(out).parent.mkdir(parents=True, exist_ok=True)
    cell.file(out).write_bytes(b"")
    if cell.kind == "federated":
        RunDirectory(cell.folder(out)).write_json("status.json", COMPLETED)


def judged(cell: Cell, out: Path, sites: Sequence[Path], threads: int, *, personal: bool) -> list[Value]:
    gain = {"original": 0.0, cell.model: len(cell.model) / 10 + cell.seed}
    return [
        Value(cell.seed, model, site.parent.name, image, metric, image + more)
        for model, more in gain.items()
        for site in sites
        for metric in ("psnr", "dice_image")
        for image in range(3)
    ]


@pytest.fixture
def asked(tmp_path: Path, tiny_site_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """A comparison whose trainings write empty models."""

    def federated(simulation: Simulation, display: object) -> None:
        assert simulation.seed is not None
        cell = Cell("federated", simulation.seed, variant=simulation.directory.root.name)
        trained(cell, tmp_path / "out")

    monkeypatch.setattr(module, "simulate", federated)
    monkeypatch.setattr(module, "train_cell", lambda cell, experiment, files, out, *_: trained(cell, out))
    monkeypatch.setattr(module, "judge_model", judged)
    monkeypatch.setattr(module, "ProcessPoolExecutor", InTurn)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    pattern = str(tiny_site_files[0].parents[1] / "*" / "site.yaml")
    return Comparison(tmp_path / "experiment.yaml", pattern, tmp_path / "out", (1,))


def called(asked: Comparison, seeds: tuple[int, ...], variants: str | None = None) -> list[str]:
    file = asked.experiment.with_name("variants.yaml")
    if variants is not None:
        file.write_text(VARIANTS[variants])
    said: list[str] = []
    given = replace(asked, seeds=seeds, variants=file if variants else None)
    compare(given, said.append, lambda: None)  # type: ignore[arg-type,return-value]
    return said


def told(out: Path) -> tuple[set[tuple[int, str]], dict[str, Any], str]:
    """Seeds and models of the table of figures, the matrix, and the text."""
    rows = {(value.seed, value.model) for value in read_values(out / "values.csv")}
    return rows, json.loads((out / "comparison.json").read_text()), (out / "comparison.txt").read_text()


def test_seeds_of_earlier_calls_stay_in_the_tables(asked: Comparison) -> None:
    called(asked, (1,))
    first, _, _ = told(asked.out)
    called(asked, (2,))
    both, matrix, text = told(asked.out)
    assert first < both and {seed for seed, _ in both} == {1, 2}
    assert matrix["psnr"]["models"]["pooled"]["seeds"].keys() == {"1", "2"}
    assert "seeds 1, 2" in text
    # Asked for again, nothing changes.
    called(asked, (1,))
    assert told(asked.out) == (both, matrix, text)


def test_variants_of_earlier_calls_stay_in_the_tables(asked: Comparison) -> None:
    called(asked, (1, 2), "first")
    called(asked, (1,), "then")
    rows, matrix, text = told(asked.out)
    assert rows == {
        *((seed, model) for seed in (1, 2) for model in ("original", "plain", "longer")),
        (1, "other"),
    }
    assert matrix["psnr"]["differences"].keys() == {"longer", "other"}
    # A variant of one seed is seen to be so.
    assert "other less plain" in text and "n/a" in text.split("other less plain")[1].splitlines()[0]
    assert "judged through the downstream network of variant plain" in text


def test_a_seed_that_is_half_done_is_left_out_and_told(asked: Comparison) -> None:
    called(asked, (1,))
    trained(Cell("alone", 2, "site-1"), asked.out)
    said = called(asked, (1,))
    assert {seed for seed, _ in told(asked.out)[0]} == {1}
    assert any("seed 2 is not finished" in text for text in said)
    assert seeds_in(asked.out) == [1, 2]
    assert {cell.seed for cell in finished(asked.out, ["site-1", "site-2"])} == {1}


def test_figures_of_other_images_are_not_mixed_in(asked: Comparison, tmp_path: Path) -> None:
    sites = Path(shutil.copytree(Path(asked.sites).parents[1], tmp_path / "sites"))
    mine = replace(asked, sites=str(sites / "*" / "site.yaml"))
    called(mine, (1,))
    before = told(asked.out)
    # The same folder elsewhere is the same; one image that is replaced is another site.
    called(asked, (1,))
    image, other = sorted((sites / "site-2").rglob("*lq*/**/*.png"))[:2]
    shutil.copy(other, image)
    with pytest.raises(ConfigurationError, match=r"holds a comparison of other images of site-2\b"):
        called(mine, (2,))
    assert told(asked.out) == before and seeds_in(asked.out) == [1]


def test_a_model_that_is_trained_again_is_judged_again(asked: Comparison) -> None:
    called(asked, (1,))
    pooled = Cell("pooled", 1)
    pooled.file(asked.out).unlink()
    said = called(asked, (1,))
    assert "pooled, seed 1: judged at 2 sites" in said and "federated, seed 1: judged at 2 sites" not in said


def test_originals_are_seen_by_the_base_alone_and_old_files_give_no_false_means(tmp_path: Path) -> None:
    cells = [Cell("federated", seed, variant=name) for seed in (1, 2) for name in ("base", "late")]
    for number, cell in enumerate(cells):
        cell.folder(tmp_path).mkdir(parents=True)
        write_values(
            cell.file_of_figures(tmp_path),
            [
                Value(cell.seed, model, "a", 0, metric, float(number))
                for model in ("original", cell.model)
                # An earlier version wrote the last two as well.
                for metric in ("psnr", "dice_image", "dice", "grade_f1")
            ],
        )
    found = gathered(tmp_path, cells, "base")
    assert {value.metric for value in found} == {"psnr", "dice_image"}
    segmented = [value for value in found if value.model == "original" and value.metric == "dice_image"]
    assert [(value.seed, value.value) for value in segmented] == [(1, 0.0), (2, 2.0)]
    # A seed without the base has no such figure of the originals, rather than another network's.
    assert {v.seed for v in gathered(tmp_path, cells[1:], "base") if v.metric == "dice_image"} == {1, 2}
    late = gathered(tmp_path, [cells[1]], "base")
    assert [value.model for value in late if value.metric == "dice_image"] == ["late"]
