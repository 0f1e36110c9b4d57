"""One table from end to end: plan, train what is not trained, judge what is not judged, tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hqgnet.ablation.claim import claim
from hqgnet.ablation.head import head
from hqgnet.ablation.judging import judge_row
from hqgnet.ablation.layout import table_text
from hqgnet.ablation.results import Finished, read_row, seeds_in, to_csv, to_json, write_row
from hqgnet.ablation.stages import Planned, plan
from hqgnet.ablation.tables import Row, Table
from hqgnet.ablation.training import Say, train_stage
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import write_atomically
from hqgnet.labels import has_labels


@dataclass(frozen=True)
class Ablation:
    """What is asked for.

    Attributes:
        table: Which.
        rows: Of it.
        experiment: On which the rows lay their changes.
        where: The experiment's file, for errors.
        budget: Steps of enhancement, and as many with a downstream network.
        seeds: Of each row.
        out: Folder of results; what is there is not made again.
        with_downstream: Train a downstream network for each row of a table of images too.
    """

    table: Table
    rows: tuple[Row, ...]
    experiment: Experiment
    where: str
    budget: int
    seeds: tuple[int, ...]
    out: Path
    with_downstream: bool = False


def ablate(
    asked: Ablation, data: Sequence[SiteData], device: torch.device, say: Say
) -> tuple[str, dict[str, Any]]:
    """Run a table, and write ``table.txt``, ``table.csv`` and ``table.json`` into its folder.

    Args:
        asked: What to do.
        data: Sites whose images are pooled, of the experiment's modality and channels.
        device: Where to compute.
        say: Told how it goes.

    Returns:
        The table as text, and as in ``table.json``. Rows and seeds that an earlier call finished are in it,
        rows that nobody asked for yet are not.

    Raises:
        ConfigurationError: If rows, experiment and sites do not fit together, or the folder holds something
            else's results.
        DataError: If images cannot be used.
        OutputError: If results cannot be written.
    """
    planned = _plan(asked, asked.rows, asked.seeds)
    _check_labels(planned, data)
    claim(asked.out, asked.experiment, asked.budget, data)
    for one in planned:
        _finish(one, asked, data, device, say)
    there = _finished(asked)
    rows: dict[Row, list[Finished]] = {}
    for one, finished in there:
        rows.setdefault(one.row, []).append(finished)
    lines = head(asked.table, asked.experiment, asked.budget, data, [one for one, _ in there])
    text = table_text(asked.table, asked.experiment.modality, rows, lines)
    whole = to_json(asked.table, asked.experiment.modality, rows, lines)
    folder = asked.out / asked.table.name
    write_atomically(folder / "table.txt", text.encode())
    write_atomically(folder / "table.csv", to_csv(asked.table, asked.experiment.modality, rows).encode())
    write_atomically(folder / "table.json", (json.dumps(whole, indent=2) + "\n").encode())
    return text, whole


def _plan(asked: Ablation, rows: Sequence[Row], seeds: Sequence[int]) -> list[Planned]:
    return plan(
        asked.table,
        rows,
        asked.experiment,
        asked.budget,
        seeds,
        asked.where,
        with_downstream=asked.with_downstream,
    )


def _check_labels(planned: Sequence[Planned], data: Sequence[SiteData]) -> None:
    """Refuse to teach a downstream network from nothing, before anything is trained."""
    teaching = [s.experiment for one in planned for s in one.stages if s.kind != "enhance"]
    if teaching and not any(has_labels(site, teaching[0]) for site in data):
        label = teaching[0].downstream.label
        what = f"no site has {label} of training images, and rows of this table train a downstream network"
        remedy = f"Give images.{label} in a site file, or --rows that train none"
        raise ConfigurationError(Problem("--site", what, remedy))


def _finish(
    planned: Planned, asked: Ablation, data: Sequence[SiteData], device: torch.device, say: Say
) -> None:
    title = f"{planned.row.title}, seed {planned.seed}"
    if read_row(asked.out, asked.table, planned) is not None:
        say(f"{title}: is there already")
        return
    for stage in planned.stages:
        train_stage(stage, data, asked.out, device, title, say)
    verdict = judge_row(planned, asked.table, data, asked.out, device)
    write_row(asked.out, asked.table, planned, verdict)
    say(f"{title}: judged")


def _finished(asked: Ablation) -> list[tuple[Planned, Finished]]:
    """Return what is finished of the table, whichever call made it: rows in the table's order, then seeds."""
    there = []
    for row in asked.table.rows:
        for planned in _plan(asked, [row], seeds_in(asked.out, asked.table, row)):
            finished = read_row(asked.out, asked.table, planned)
            if finished is not None:
                there.append((planned, finished))
    return there
