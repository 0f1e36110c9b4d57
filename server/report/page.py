"""The page on a run, from its directory to HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hqgnet import __version__
from hqgnet.errors import ExitCode
from hqgnet.files import make_folder, write_atomically
from hqgnet.report.figures import write_change
from hqgnet.report.interval import MeanInterval
from hqgnet.report.page import render
from server.report.codes import explain
from server.report.curves import loss_curves, metric_curves
from server.report.participation import participation
from server.report.record import RunRecord, read_run
from server.report.results import SiteRow, results, site_rows
from server.report.settings import configuration, identity
from server.report.summary import summary
from server.report.traffic import traffic

if TYPE_CHECKING:
    from server.report.comparison import ComparisonPage

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Path, comparison: Path | None = None, out: Path | None = None) -> Path:
    """Write the page, and return where it lies.

    Args:
        run: Its directory.
        comparison: A folder of ``hqgnet-server compare``, or None.
        out: The file; None: ``report.html`` in the run's directory.

    Raises:
        ConfigurationError: If there is no run, or no comparison, to read.
        DataError: If the comparison's figures cannot be read.
        OutputError: If the page cannot be written.
    """
    record = read_run(run)
    compared = None
    if comparison is not None:
        from server.report.comparison import read_comparison  # loads torch, which a run's page does without

        compared = read_comparison(comparison, record)
    path = out or run / "report.html"
    make_folder(path.parent)
    write_atomically(path, page(record, compared).encode())
    return path


def page(record: RunRecord, compared: ComparisonPage | None = None) -> str:
    """Return the page as HTML: the same files give the same text."""
    table = results(record)
    validation, losses, passed = metric_curves(record), loss_curves(record), participation(record)
    per_site = site_rows(record)
    sections = [
        ("summary", "Summary", True),
        ("comparison", compared.heading if compared else "", compared is not None),
        ("validation", "Validation", bool(validation.plots)),
        ("sites", "Site by site", bool(per_site)),
        ("participation", "Who took part", bool(passed.blocks)),
        ("losses", "Losses", bool(losses.plots)),
        ("traffic", "Bytes and time", bool(record.rounds)),
        ("choice", "Choice of the model", True),
        ("configuration", "Configuration and versions", True),
    ]
    return render(
        _TEMPLATES,
        "report.html",
        sections=[(key, name) for key, name, there in sections if there],
        record=record,
        interrupted=record.exit_code == ExitCode.INTERRUPTED,
        summary=summary(record),
        results=table,
        validation=validation,
        losses=losses,
        participation=passed,
        per_site=per_site,
        meanings=_meanings(per_site),
        comparison=compared,
        gains=_gains(per_site, compared),
        traffic=traffic(record),
        identity=identity(record),
        configuration=configuration(record),
        explain=explain,
        version=__version__,
    )


def _meanings(per_site: dict[str, list[SiteRow]]) -> list[tuple[str, str]]:
    figures = dict.fromkeys(row.figure for rows in per_site.values() for row in rows)
    return [(figure.title, figure.meaning) for figure in figures if figure.meaning]


def _gains(per_site: dict[str, list[SiteRow]], compared: ComparisonPage | None) -> dict[str, list[str]]:
    """What the comparison says of each line of the sites' tables, in the same order; empty if nothing."""
    known = compared.gains if compared else {}
    if not known:
        return {}
    return {
        site: [_told(known.get((site, row.figure.name)), row.figure.decimals) for row in rows]
        for site, rows in per_site.items()
    }


def _told(gain: MeanInterval | None, decimals: int) -> str:
    if gain is None:
        return "n/a"
    if gain.low is None:
        return f"{write_change(gain.mean, decimals)} (one image)"
    low, high = write_change(gain.low, decimals), write_change(gain.high, decimals)
    return f"{write_change(gain.mean, decimals)} [{low}, {high}]"
