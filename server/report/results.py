"""Original against enhanced images, site by site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hqgnet.metrics.names import GRADING, SEGMENTATION
from hqgnet.report.figures import Figure, Tone, difference, finite, present, write, write_change
from server.report.record import Json, RunRecord

MEAN = "mean over sites"
_COUNTED_BY = {"dice": SEGMENTATION, "auc": SEGMENTATION}


@dataclass(frozen=True)
class Cell:
    """A figure before and after.

    Attributes:
        before: Of original images.
        after: Of enhanced images.
        change: The difference, with its sign.
        tone: What that means.
    """

    before: str
    after: str
    change: str
    tone: Tone


@dataclass(frozen=True)
class Line:
    """A site, or the mean over sites."""

    name: str
    images: str
    cells: list[Cell]


@dataclass(frozen=True)
class Results:
    """The final table.

    Attributes:
        figures: Its columns.
        lines: A site each.
        mean: Over the sites that have a figure.
        behind: How many those are, where it is not all of them.
        notes: Why figures are missing.
        failed: Sites that did not judge, with their code.
        best: Round of the judged model, in its phase.
    """

    figures: list[Figure]
    lines: list[Line]
    mean: Line
    behind: list[str]
    notes: list[str]
    failed: dict[str, str]
    best: str


@dataclass(frozen=True)
class SiteRow:
    """A metric of one site in its own table."""

    figure: Figure
    cell: Cell


@dataclass(frozen=True)
class Basis:
    """What a figure's mean over sites is taken from.

    Attributes:
        sites: That have the figure.
        judged: How many sites judged the model.
        images: Of those sites, that have the figure.
    """

    sites: tuple[str, ...]
    judged: int
    images: int


def basis(table: Json, figure: Figure) -> Basis:
    """Return which sites and how many of their images are behind a figure of a final table."""
    rows: dict[str, Json] = table.get("sites", {})
    sites = [site for site in sorted(rows) if finite(rows[site].get(f"{figure.name}_enhanced")) is not None]
    counted = GRADING if figure.name.startswith("grade_") else _COUNTED_BY.get(figure.name, figure.name)
    images = 0
    for site in sites:
        # A site names only metrics that not every image of it has.
        gap = table.get("gaps", {}).get(site, {}).get(counted, {})
        images += int(finite(gap.get("counted", rows[site].get("images"))) or 0)
    return Basis(tuple(sites), len(rows), images)


def results(record: RunRecord) -> Results | None:
    """Return the final table; None before the final judgement."""
    table = record.table
    if not table:
        return None
    rows: dict[str, Json] = table.get("sites", {})
    mean: Json = table.get("site_mean", {})
    figures = present([*rows.values(), mean], main=True)
    lines = [line(name, rows[name], figures) for name in sorted(rows)]
    behind = [
        f"{figure.title}: {count} of {len(rows)}"
        for figure in figures
        if (count := len(basis(table, figure).sites)) < len(rows)
    ]
    model = table.get("model", {})
    return Results(
        figures,
        lines,
        line(MEAN, mean, figures),
        behind,
        [str(note) for note in table.get("notes", [])],
        {str(site): str(code) for site, code in sorted(table.get("failed", {}).items())},
        f"round {model.get('round')} of phase {model.get('phase')}",
    )


def site_rows(record: RunRecord) -> dict[str, list[SiteRow]]:
    """Return every metric of every site that judged the final model."""
    rows: dict[str, Json] = (record.table or {}).get("sites", {})
    return {
        site: [SiteRow(figure, cell(rows[site], figure)) for figure in present([rows[site]])]
        for site in sorted(rows)
    }


def line(name: str, row: Mapping[str, object], figures: list[Figure]) -> Line:
    """Return a row as it is written."""
    return Line(name, write(row.get("images"), 0), [cell(row, figure) for figure in figures])


def cell(row: Mapping[str, object], figure: Figure) -> Cell:
    """Return a figure before and after, as it is written."""
    before, after = row.get(f"{figure.name}_original"), row.get(f"{figure.name}_enhanced")
    change = difference(after, before)
    decimals = figure.decimals
    return Cell(
        write(before, decimals), write(after, decimals), write_change(change, decimals), figure.tone(change)
    )


def worse_at(record: RunRecord) -> list[str]:
    """Return what became worse, and where: ``SSIM at site-1 (-0.008)``."""
    rows: dict[str, Json] = (record.table or {}).get("sites", {})
    found = []
    for figure in present(rows.values(), main=True):
        changes = {
            site: difference(row.get(f"{figure.name}_enhanced"), row.get(f"{figure.name}_original"))
            for site, row in sorted(rows.items())
        }
        lost = [
            f"{site} ({write_change(change, figure.decimals)})"
            for site, change in changes.items()
            if finite(change) is not None and figure.tone(change) == "worse"
        ]
        if lost:
            found.append(f"{figure.title} at {', '.join(lost)}")
    return found
