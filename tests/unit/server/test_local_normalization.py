"""Normalisation that stays at the sites (FedBN): each has a model of its own, and lent cues mean the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hqgnet.config import Experiment
from hqgnet.cue_bank_config import CueBankConfig
from hqgnet.exchange.update import ARRAYS
from hqgnet.model_file import load_model
from server import wire
from tests.unit.server.hospital import hospital

Run = Callable[..., Any]
LOCAL = {"share_normalization": False}


def with_federation(experiment: Experiment, **changes: object) -> Experiment:
    return experiment.model_copy(update={"federation": experiment.federation.model_copy(update=changes)})


def names_on_the_wire(run: Any) -> set[str]:
    return {
        name
        for message in [*run.grid.requests, *run.grid.replies]
        if ARRAYS in message.content.array_records
        for name in wire.read_arrays(message.content)
    }


def personal_models(run: Any) -> list[dict[str, torch.Tensor]]:
    files = [file.parent / "work" / run.run_id / "model.safetensors" for file in run.files]
    return [load_model(file).networks.state_dict() for file in files]


def test_it_stays_at_the_site(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    run = federate(
        with_federation(shorten(quick_experiment, pretrain=1, enhance=1), **LOCAL), tiny_site_files
    )
    names = names_on_the_wire(run)
    assert names and not any("running_mean" in name or "num_batches_tracked" in name for name in names)
    first, second = personal_models(run)
    name = next(key for key in first if key.startswith("generator") and key.endswith("running_mean"))
    assert not torch.equal(first[name], second[name])


def test_a_site_that_is_lent_cues_has_its_own_too(
    federate: Run,
    shorten: Run,
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
    tmp_path: Path,
) -> None:
    lends = {"cue_bank": True, "minimum_hq_images": 4}
    rich = [
        hospital(file, tmp_path / f"rich-{number}", policy=lends)
        for number, file in enumerate(tiny_site_files)
    ]
    poor = hospital(tiny_site_files[0], tmp_path / "poor", hq=False)
    bank = CueBankConfig(enabled=True, minimum_images=4)
    experiment = shorten(quick_experiment, pretrain=1, enhance=1, cooperate=1)
    run = federate(with_federation(experiment, **LOCAL, cue_bank=bank), [*rich, poor])
    rows = run.rows("rounds.jsonl")
    assert [sorted(row["sites"]) for row in rows] == [["site-0", "site-1", "site-2"]] * 3
    statistics = {name for name in names_on_the_wire(run) if name.endswith("running_mean")}
    assert {name.partition(".")[0] for name in statistics} == {"cue_extractor"}
    first, _, last = personal_models(run)
    differing = {
        name for name in last if name.endswith("running_mean") and not torch.equal(first[name], last[name])
    }
    assert {name.partition(".")[0] for name in differing} == {"generator", "task"}
    judged = [row for row in run.rows("metrics.jsonl") if row.get("site") == "site-2"]
    assert judged and all(row["psnr_enhanced"] is not None for row in judged)


def test_where_a_part_stays_at_the_sites_the_last_round_stands(
    federate: Run, shorten: Run, quick_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    """A site has its own part of the last round alone: beside an earlier round's weights it fits nothing."""
    sections = {
        "evaluation": quick_experiment.evaluation.model_copy(update={"every": 1}),
        "training": quick_experiment.training.model_copy(update={"learning_rate": 0.05}),
    }
    experiment = shorten(quick_experiment, enhance=3).model_copy(update=sections)
    run = federate(with_federation(experiment, **LOCAL), tiny_site_files)
    rows = [row for row in run.rows("metrics.jsonl") if row["kind"] == "site-mean"]
    scores = {row["round"]: row["psnr_enhanced"] for row in rows if row["split"] == "validation"}
    assert max(scores, key=lambda number: scores[number]) < 3
    best = load_model(run.directory.models / "best.safetensors")
    assert best.details["round"] == 3 and "stays at each site" in best.details["chosen"]
