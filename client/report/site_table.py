"""The site's figures: means over images with intervals, and how many images got worse."""

from __future__ import annotations

from dataclasses import dataclass

from client.report.cases import Case, Cases
from hqgnet.report.figures import Figure, Tone, difference, figure, finite, write, write_change
from hqgnet.report.histogram import Histogram, change_histogram
from hqgnet.report.interval import mean_interval

_SEGMENTATION = ("dice", "auc")


@dataclass(frozen=True)
class Cell:
    """A figure before and after; ``reason`` says why there is none."""

    heading: str
    before: str
    after: str
    change: str
    tone: Tone
    reason: str = ""


@dataclass(frozen=True)
class SiteLine:
    """A metric over all images.

    Attributes:
        cell: Means.
        interval: 95 % of the mean change, as it is written.
        worse: On how many images, of those that have it.
        meaning: Of the metric.
    """

    cell: Cell
    interval: str
    worse: str
    meaning: str


def image_cells(case: Case, metrics: tuple[str, ...]) -> list[Cell]:
    """Return the figures of one image."""
    return [_cell(figure(metric), case.row, case.missing.get(metric, ""), metric) for metric in metrics]


def site_lines(gathered: Cases) -> list[SiteLine]:
    """Return the figures of the split: means over images first, then those of all images together."""
    lines = [_over_images(metric, gathered.cases) for metric in gathered.metrics]
    pooled = gathered.scores.row()
    for metric in gathered.of_all:
        known, over = figure(metric), "pixels" if metric in _SEGMENTATION else "images"
        if finite(pooled.get(f"{metric}_enhanced")) is not None:
            cell = _cell(known, pooled, "", metric, f"{known.title}, over all {over}")
            lines.append(SiteLine(cell, "n/a: one figure for all images", "n/a", known.meaning))
    return lines


def histograms(gathered: Cases) -> list[Histogram]:
    """Return how the changes are spread over images, a metric each."""
    drawn = [
        change_histogram(
            f"changes-{metric.replace('_', '-')}", figure(metric), changes(metric, gathered.cases)
        )
        for metric in gathered.metrics
    ]
    return [plot for plot in drawn if plot]


def changes(metric: str, cases: list[Case]) -> list[float]:
    """Return a metric's change of every image that has it."""
    found = [
        difference(case.row.get(f"{metric}_enhanced"), case.row.get(f"{metric}_original")) for case in cases
    ]
    return [change for change in found if change is not None]


def _over_images(metric: str, cases: list[Case]) -> SiteLine:
    known, gained = figure(metric), changes(metric, cases)
    has = [case for case in cases if metric not in case.missing]
    means = {}
    for version in ("original", "enhanced"):
        estimate = mean_interval(case.row.get(f"{metric}_{version}") for case in has)
        means[f"{metric}_{version}"] = estimate.mean if estimate else None
    reasons = sorted({case.missing[metric] for case in cases if metric in case.missing})
    title = f"{known.heading}, mean over images" if metric in _SEGMENTATION else known.heading
    gain = mean_interval(gained)
    if gain is None:
        interval = "n/a"
    elif gain.low is None:
        interval = "n/a: one image"
    else:
        interval = " to ".join(write_change(bound, known.decimals) for bound in (gain.low, gain.high))
    worse = sum(known.tone(change) == "worse" for change in gained)
    counted = f"{worse} of {len(gained)}" if gained and known.better != "neither" else "n/a"
    return SiteLine(_cell(known, means, "; ".join(reasons), metric, title), interval, counted, known.meaning)


def _cell(known: Figure, row: dict[str, float | None], missing: str, metric: str, title: str = "") -> Cell:
    before, after = row.get(f"{metric}_original"), row.get(f"{metric}_enhanced")
    change = difference(after, before)
    return Cell(
        title or known.heading,
        write(before, known.decimals),
        write(after, known.decimals),
        write_change(change, known.decimals),
        known.tone(change),
        missing if change is None else "",
    )
