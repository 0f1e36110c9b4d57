"""What a study says: a table for the terminal, JSON, and one tidy CSV; no name of a file stands in them."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hqgnet.report.figures import NOT_AVAILABLE, Figure, finite, present
from hqgnet.robustness.guides import Condition
from hqgnet.robustness.study import Study
from hqgnet.scores import Row

_ENHANCED, _ORIGINAL = "_enhanced", "_original"
CUE_DISTANCE = "cue_distance"


@dataclass(frozen=True)
class Spread:
    """A figure over guides; every value is one over all images.

    Attributes:
        mean: Over the guides that have the figure; None where none has it.
        standard_deviation: Of the sample of guides; None for fewer than two.
        lowest: Of all guides.
        highest: Of all guides.
    """

    mean: float | None
    standard_deviation: float | None
    lowest: float | None
    highest: float | None

    @classmethod
    def of(cls, values: Sequence[object]) -> Spread:
        """Summarise values; those that are missing are left out."""
        known = [number for value in values if (number := finite(value)) is not None]
        if not known:
            return cls(None, None, None, None)
        deviation = statistics.stdev(known) if len(known) > 1 else None
        return cls(statistics.fmean(known), deviation, min(known), max(known))


def spread(study: Study, condition: Condition, metric: str) -> Spread:
    """Return a figure of enhanced images over a condition's guides."""
    return Spread.of([study.rows[guide].get(metric + _ENHANCED) for guide in condition.guides])


def original(study: Study, metric: str) -> float | None:
    """Return a figure of the images as they came, on which no guide has a say."""
    return finite(study.rows[study.fixed].get(metric + _ORIGINAL))


def table_text(study: Study, head: str, notes: Sequence[str] = ()) -> str:
    """Return the table of the main figures as text: mean and standard deviation over guides."""
    figures = present(study.rows.values(), main=True)
    lines = [["guides", "number", "cue moved", *(figure.heading for figure in figures)]]
    lines.append(["none: original", "-", "-", *(_plain(original(study, f.name), f) for f in figures)])
    for condition in study.conditions:
        moved = statistics.fmean(study.cue_distance[guide] for guide in condition.guides)
        cells = (_cell(spread(study, condition, figure.name), figure) for figure in figures)
        lines.append([condition.title, str(len(condition.guides)), f"{100 * moved:.1f} %", *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, drawn))
    every_note = (*notes, *(condition.note for condition in study.conditions))
    told = [note for note in dict.fromkeys(every_note) if note]
    return "\n".join([head, rule, drawn[0], rule, *drawn[1:], rule, *told]) + "\n"


def to_json(study: Study) -> dict[str, Any]:
    """Return all figures as plain lists, numbers and null."""
    names = [figure.name for figure in present(study.rows.values())]
    return {
        "images": study.images,
        "original": {name: original(study, name) for name in names},
        "conditions": [
            {
                "guides": condition.name,
                "title": condition.title,
                "strength": condition.strength,
                "number": len(condition.guides),
                "note": condition.note,
                CUE_DISTANCE: asdict(Spread.of([study.cue_distance[guide] for guide in condition.guides])),
                "metrics": {name: asdict(spread(study, condition, name)) for name in names},
            }
            for condition in study.conditions
        ],
    }


def to_csv(study: Study) -> str:
    """Return a line a guide and figure: ``guides,strength,guide,metric,value``.

    ``guide`` counts a condition's guides from 1. The figures of the original images stand first, with
    ``original`` for guides; what is missing has no value.
    """
    names = [figure.name for figure in present(study.rows.values())]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["guides", "strength", "guide", "metric", "value"])
    for name in names:
        writer.writerow(["original", "", "", name, _number(original(study, name))])
    for condition in study.conditions:
        strength = "" if condition.strength is None else repr(condition.strength)
        for number, guide in enumerate(condition.guides, 1):
            figures: Row = {CUE_DISTANCE: study.cue_distance[guide]}
            figures |= {name: study.rows[guide].get(name + _ENHANCED) for name in names}
            for name, value in figures.items():
                writer.writerow([condition.name, strength, number, name, _number(value)])
    return text.getvalue()


def _number(value: object) -> str:
    known = finite(value)
    return "" if known is None else repr(known)


def _plain(value: float | None, figure: Figure) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.{figure.decimals}f}"


def _cell(found: Spread, figure: Figure) -> str:
    text = _plain(found.mean, figure)
    if found.standard_deviation is None:
        return text
    return f"{text} ± {found.standard_deviation:.{figure.decimals + 1}f}"
