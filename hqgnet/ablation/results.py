"""Rows that are finished, on disk; and what a table says of them: mean and spread over seeds."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hqgnet.ablation.judging import Verdict, counted_by
from hqgnet.ablation.stages import Planned
from hqgnet.ablation.tables import Row, Table
from hqgnet.config import Modality
from hqgnet.errors import DataError, Problem
from hqgnet.files import make_folder, write_atomically
from hqgnet.metrics.names import IMAGE_METRICS
from hqgnet.report.figures import finite
from hqgnet.scores import Row as Figures

ENHANCED = "_enhanced"
ALL_SITES = "all"
_SEED = "seed-"


@dataclass(frozen=True)
class Finished:
    """A row that is judged, with one seed.

    Attributes:
        row: Its name.
        seed: Of its training.
        model: The model that was judged, relative to the folder of results; None where nothing is trained.
            Its folder is named by all that decides the weights.
        verdict: Its figures.
    """

    row: str
    seed: int
    model: str | None
    verdict: Verdict


@dataclass(frozen=True)
class Cell:
    """A figure of a row.

    Attributes:
        mean: Over seeds; None where there is no figure.
        standard_deviation: Of the sample of seeds; None for fewer than two, and where no training has a
            part in the figure: that it is the same for every seed is not measured.
        values: By seed.
    """

    mean: float | None
    standard_deviation: float | None
    values: dict[int, float | None]


def row_file(out: Path, table: Table, row: Row, seed: int) -> Path:
    """Return where a row's figures lie."""
    return out / table.name / f"{_SEED}{seed}" / row.name / "row.json"


def seeds_in(out: Path, table: Table, row: Row) -> list[int]:
    """Return the seeds of which there are a row's figures, whichever call made them, in order."""
    names = [file.parents[1].name for file in (out / table.name).glob(f"{_SEED}*/{row.name}/row.json")]
    numbers = [name.removeprefix(_SEED) for name in names]
    return sorted({int(number) for number in numbers if number.isdecimal()})


def write_row(out: Path, table: Table, planned: Planned, verdict: Verdict) -> None:
    """Keep a row's figures: from now on it is finished."""
    path = row_file(out, table, planned.row, planned.seed)
    make_folder(path.parent)
    finished = Finished(planned.row.name, planned.seed, _model(planned), verdict)
    write_atomically(path, (json.dumps(asdict(finished), indent=2) + "\n").encode())


def read_row(out: Path, table: Table, planned: Planned) -> Finished | None:
    """Return a row's figures; None if it is not finished, or of another training than planned.

    Raises:
        DataError: If its file is damaged.
    """
    path = row_file(out, table, planned.row, planned.seed)
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        said = found["verdict"]
        gaps = {name: (counted, why) for name, (counted, why) in said["gaps"].items()}
        verdict = Verdict(said["figures"], said["sites"], gaps)
        finished = Finished(found["row"], found["seed"], found["model"], verdict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"is no row of a table ({type(error).__name__})"
        raise DataError(Problem(str(path), what, "Delete it: it is judged again")) from error
    return finished if finished.model == _model(planned) else None


def _model(planned: Planned) -> str | None:
    return planned.stage.model.as_posix() if planned.stage else None


def is_trained(found: Sequence[Finished]) -> bool:
    """Return whether a training has a part in a row's figures, so that they differ between seeds."""
    return any(finished.model is not None for finished in found)


def cell_of(row: Row, found: Sequence[Finished], metric: str) -> Cell:
    """Return a figure of enhanced images over a row's seeds."""
    values = {finished.seed: finite(finished.verdict.figures.get(metric + ENHANCED)) for finished in found}
    known = [value for value in values.values() if value is not None]
    fixed = row.has_fixed_images and counted_by(metric) in IMAGE_METRICS
    varies = is_trained(found) and not fixed
    deviation = statistics.stdev(known) if varies and len(known) > 1 else None
    return Cell(statistics.fmean(known) if known else None, deviation, values)


def metrics_in(rows: Mapping[Row, Sequence[Finished]]) -> list[str]:
    """Return the metrics that some row has for enhanced images, in the order in which rows tell them."""
    names = (
        name.removesuffix(ENHANCED)
        for found in rows.values()
        for finished in found
        for name, value in finished.verdict.figures.items()
        if name.endswith(ENHANCED) and finite(value) is not None
    )
    return list(dict.fromkeys(names))


def to_json(
    table: Table, modality: Modality, rows: Mapping[Row, Sequence[Finished]], head: Sequence[str]
) -> dict[str, Any]:
    """Return all of a table as plain lists, numbers, text and null."""
    names = metrics_in(rows)
    return {
        "table": table.name,
        "caption": table.caption,
        "head": list(head),
        "modality": modality,
        "rows": [
            {
                "row": row.name,
                "title": row.title,
                "models": {finished.seed: finished.model for finished in found},
                "figures": {
                    name: asdict(cell_of(row, found, name))
                    | {"paper": table.cell(modality, name, row) or None}
                    for name in names
                },
                "gaps": {finished.seed: finished.verdict.gaps for finished in found},
            }
            for row, found in rows.items()
        ],
    }


def to_csv(table: Table, modality: Modality, rows: Mapping[Row, Sequence[Finished]]) -> str:
    """Return a line a figure: ``table,row,title,seed,site,metric,value,paper``.

    ``site`` is ``all`` for figures over all test images; the paper's cell stands beside those of enhanced
    ones. What is missing has no value.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "row", "title", "seed", "site", "metric", "value", "paper"])
    for row, found in rows.items():
        for finished in found:
            places: dict[str, Figures] = {ALL_SITES: finished.verdict.figures, **finished.verdict.sites}
            for site, figures in places.items():
                for name, value in figures.items():
                    is_ours = site == ALL_SITES and name.endswith(ENHANCED)
                    paper = table.cell(modality, name.removesuffix(ENHANCED), row) if is_ours else ""
                    known = finite(value)
                    shown = "" if known is None else known
                    writer.writerow(
                        [table.name, row.name, row.title, finished.seed, site, name, shown, paper]
                    )
    return text.getvalue()
