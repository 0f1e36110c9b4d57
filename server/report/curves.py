"""The federation's curves: what sites said of the model, and their losses, over rounds."""

from __future__ import annotations

from dataclasses import dataclass

from hqgnet.report.figures import present
from hqgnet.report.frame import Entry, mark_path
from hqgnet.report.lines import Band, LinePlot, Series, line_plot
from server.report.record import Json, RunRecord

_LOSSES = {
    "reconstruction": "Reconstruction (pretraining)",
    "discriminator": "Discriminator",
    "enhancement": "Enhancement (whole, weighted)",
    "haar": "Structure (L_Haar)",
    "feature_consistency": "Feature consistency (L_FC)",
    "adversarial": "Adversarial (L_GAN)",
    "cue_cosine": "Likeness of cues (cosine)",
    "segmentation": "Downstream network",
}
_MEAN = "mean over sites"


@dataclass(frozen=True)
class Curves:
    """Plots that share one legend.

    Attributes:
        plots: In order.
        legend: Of the sites and the mean.
    """

    plots: list[LinePlot]
    legend: list[Entry]


def metric_curves(record: RunRecord) -> Curves:
    """Return a plot a metric: every site's validation images, enhanced against original."""
    rows = [row for row in record.metrics if row.get("split") == "validation"]
    sites, chosen = record.sites, record.choice or {}
    best = record.global_round(chosen.get("phase"), chosen.get("round"))
    plots = []
    for figure in present(rows, main=True):
        series = []
        for version, dashed in (("original", True), ("enhanced", False)):
            name = f"{figure.name}_{version}"
            for number, site in enumerate(sites):
                series.append(Series(site, _points(record, rows, "site", site, name), number, dashed=dashed))
            mean = Series(_MEAN, _points(record, rows, "site-mean", None, name), dashed=dashed)
            series += [mean] if len(sites) > 1 and not dashed else []
        key = f"validation-{figure.name.replace('_', '-')}"
        plot = line_plot(
            key,
            figure.title,
            figure.unit or "no unit",
            series,
            decimals=figure.decimals,
            bands=_bands(record),
            chosen=best,
        )
        plots += [plot] if plot else []
    return Curves(plots, _shared(plots, originals=True))


def loss_curves(record: RunRecord) -> Curves:
    """Return a plot a loss: every site's mean over the steps of a round."""
    rows, sites = record.counted, record.sites
    names = dict.fromkeys(
        name for row in rows for of in row.get("sites", {}).values() for name in of.get("losses", {})
    )
    ordered = sorted(names, key=lambda name: [*_LOSSES, name].index(name))
    plots = []
    for name in ordered:
        series = [
            Series(
                site,
                [
                    (int(row["global_round"]), row.get("sites", {}).get(site, {}).get("losses", {}).get(name))
                    for row in rows
                ],
                number,
            )
            for number, site in enumerate(sites)
        ]
        if len(sites) > 1:
            points = [(int(row["global_round"]), row.get("losses", {}).get(name)) for row in rows]
            series.append(Series(_MEAN, points))
        title = _LOSSES.get(name, name.replace("_", " ").capitalize())
        plot = line_plot(f"loss-{name.replace('_', '-')}", title, "no unit", series, bands=_bands(record))
        plots += [plot] if plot else []
    return Curves(plots, _shared(plots, originals=False))


def _points(
    record: RunRecord, rows: list[Json], kind: str, site: str | None, name: str
) -> list[tuple[int, object]]:
    # The last word counts: a run that went on may have judged a round twice.
    found: dict[int, object] = {}
    for row in rows:
        number = record.global_round(row.get("phase"), row.get("round"))
        if number is not None and row.get("kind") == kind and row.get("site") == site:
            found[number] = row.get(name)
    return sorted(found.items())


def _bands(record: RunRecord) -> list[Band]:
    spans: dict[str, list[int]] = {}
    for row in record.rounds:
        spans.setdefault(str(row["phase"]), []).append(int(row["global_round"]))
    return [Band(phase, min(numbers), max(numbers)) for phase, numbers in spans.items()]


def _shared(plots: list[LinePlot], *, originals: bool) -> list[Entry]:
    entries = {
        entry.label: entry
        for plot in plots
        for entry in plot.legend
        if "dashed" not in entry.style and entry.style != "chosen"
    }
    chosen = [entry for plot in plots for entry in plot.legend if entry.style == "chosen"][:1]
    alone = any(line.marks for plot in plots for line in plot.lines if "dashed" in line.style)
    hollow = mark_path(0, 12, 6, 3) if alone else ""
    before = Entry("the site's original images", "mean dashed", hollow, line=True)
    dashed = [before] if originals and plots else []
    # The mean stands last, whichever plot brought it in.
    ordered = sorted(entries.values(), key=lambda entry: entry.label == _MEAN)
    return [*ordered, *dashed, *chosen]
