"""From rows to scalars: names, steps, and what gives none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from server.tracking.scalars import RowScalars
from tests.report_samples import SITES, write_run


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_figure_of_a_run_has_its_name_and_step(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    rounds, evaluations = lines(run / "rounds.jsonl"), lines(run / "metrics.jsonl")
    steps = RowScalars().of(rounds, evaluations)
    assert list(steps) == list(range(1, 25))
    names = {name for values in steps.values() for name in values}
    assert not [(one, other) for one in names for other in names if other.startswith(f"{one}/")]

    third = rounds[2]
    assert steps[3]["loss/haar/cadiz"] == third["sites"]["cadiz"]["losses"]["haar"]
    assert steps[3]["loss/haar/site_mean"] == third["losses"]["haar"]
    assert steps[3]["round/site_seconds/delft"] == 32.0
    assert (steps[3]["round/sites"], steps[3]["round/failed"]) == (4, 0)

    judged = [row for row in evaluations if (row["phase"], row["round"]) == ("cooperate", 8)]
    told = {(row["split"], row.get("site", row["kind"])): row for row in judged}
    step = steps[22]  # two rounds of pretraining, twelve of enhancement, eight of cooperation
    for split in ("validation", "test"):
        for whose, name in [(site, site) for site in SITES] + [
            ("site-mean", "site_mean"),
            ("pooled", "all_images"),
        ]:
            row = told[split, whose]
            assert step.get(f"{split}/psnr_enhanced/{name}") == row["psnr_enhanced"]
            assert step[f"{split}/entropy_original/{name}"] == row["entropy_original"]
    assert "validation/psnr_enhanced/delft" not in step  # no twins there
    assert not [name for name in step if "images/" in name or "sites_behind" in name or "/round/" in name]


def test_what_a_round_cost_holds_the_attempts_that_did_not_count() -> None:
    failed = {"global_round": 5, "counted": False, "bytes_down": 10, "bytes_up": 1, "seconds": 3.0}
    good = {
        "global_round": 5,
        "phase": "enhance",
        "round": 2,
        "bytes_down": 10,
        "bytes_up": 4,
        "seconds": 2.0,
    }
    scalars = RowScalars()
    assert scalars.of([failed], []) == {}
    assert scalars.of([good], []) == {
        5: {
            "round/bytes_down": 20.0,
            "round/bytes_up": 5.0,
            "round/seconds": 5.0,
            "round/sites": 0.0,
            "round/failed": 0.0,
        }
    }


def test_an_evaluation_belongs_to_a_round_that_was_read_earlier() -> None:
    scalars = RowScalars()
    scalars.of([{"global_round": 7, "phase": "enhance", "round": 3}], [])
    place = {"phase": "enhance", "split": "validation", "kind": "site", "site": "a"}
    assert scalars.of([], [{**place, "round": 3, "psnr_enhanced": 20.0, "ssim_enhanced": None}]) == {
        7: {"validation/psnr_enhanced/a": 20.0}
    }
    assert scalars.of([], [{**place, "round": 4, "psnr_enhanced": 20.0}]) == {}


def test_no_number_gives_no_scalar() -> None:
    losses = {"haar": float("nan"), "adversarial": float("inf"), "enhancement": 0.5}
    row = {"global_round": 1, "phase": "enhance", "round": 1, "losses": losses}
    [step] = RowScalars().of([row], []).values()
    assert {name for name in step if name.startswith("loss/")} == {"loss/enhancement/site_mean"}
