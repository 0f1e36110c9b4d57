"""A comparison's model x site matrix as a heat map, and what it says of federating."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.report.figures import NOT_AVAILABLE, Figure, difference, present, write, write_change
from hqgnet.report.interval import MeanInterval, mean_interval
from server.comparison.judging import ORIGINAL, Value, read_values
from server.comparison.matrix import Estimate, Matrix, build_matrix, per_image, verdict
from server.comparison.table import verdict_text
from server.report.record import Json, RunRecord

_LEVELS = 4


@dataclass(frozen=True)
class HeatCell:
    """A model at a site.

    Attributes:
        mean: Over images.
        interval: 95 %, as it is written.
        change: Against the site's own model; empty where that is not known.
        style: CSS class, from ``heat-down4`` to ``heat-up4``.
    """

    mean: str
    interval: str
    change: str
    style: str


@dataclass(frozen=True)
class HeatRow:
    """A model at every site."""

    model: str
    cells: list[HeatCell]
    mean: HeatCell
    worst: str


@dataclass(frozen=True)
class HeatMap:
    """One metric of all models at all sites.

    Attributes:
        figure: Which.
        rows: A model each.
        verdict: Whether federating pays, in words; empty where more is not always better.
        widest: Largest difference from a site's own model.
    """

    figure: Figure
    rows: list[HeatRow]
    verdict: str
    widest: str


@dataclass(frozen=True)
class ComparisonPage:
    """The section.

    Attributes:
        sites: Columns of all maps.
        maps: A metric each.
        seeds: Of training.
        differs: Keys in which the compared experiment is not the run's.
        gains: Federated less original of the same images, by site and metric.
    """

    sites: list[str]
    maps: list[HeatMap]
    seeds: list[int]
    differs: list[str]
    gains: dict[tuple[str, str], MeanInterval]


def read_comparison(folder: Path, record: RunRecord) -> ComparisonPage:
    """Read what ``hqgnet-server compare`` wrote.

    Args:
        folder: Its ``--out``.
        record: The run that the page is about.

    Raises:
        ConfigurationError: If the folder holds no finished comparison.
        DataError: If its figures cannot be read.
    """
    values = folder / "values.csv"
    if not values.is_file():
        remedy = "Give the --out of hqgnet-server compare, once that has ended"
        raise ConfigurationError(Problem(f"--comparison {folder}", "holds no finished comparison", remedy))
    figures = [value for value in read_values(values) if value.value is not None]
    try:
        plan: Json = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        compared: Json = dict(plan["experiment"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Take it from a copy, or compare again"
        raise DataError(Problem(str(folder / "plan.json"), "cannot be read", remedy)) from error
    if "variants" in plan:
        what = "compares variants of a federation, which the report has no section for"
        raise ConfigurationError(Problem(f"--comparison {folder}", what, "Read its comparison.txt"))
    sites = sorted({value.site for value in figures})
    metrics = sorted({value.metric for value in figures})
    shown = present([{f"{metric}_enhanced": 0.0 for metric in metrics}], main=True)
    maps = [_heat_map(figures, known, sites) for known in shown]
    return ComparisonPage(
        sites, maps, sorted({value.seed for value in figures}), _differences(compared, record.experiment),
        _gains(figures, metrics),
    )  # fmt: skip


def _heat_map(values: Sequence[Value], known: Figure, sites: list[str]) -> HeatMap:
    matrix = build_matrix(values, known.name)
    own = {site: matrix.cells.get((f"alone {site}", site)) for site in sites}
    changes = [
        change
        for (_, site), estimate in matrix.cells.items()
        if (change := _against(estimate, own.get(site), known)) is not None
    ]
    widest = max(map(abs, changes), default=0.0)
    rows = []
    for model in sorted(matrix.mean, key=lambda name: (_rank(name), name)):
        cells = [_cell(matrix.cells.get((model, site)), own[site], widest, known) for site in sites]
        worst_site, worst = matrix.worst[model]
        rows.append(
            HeatRow(
                model,
                cells,
                _cell(matrix.mean[model], None, widest, known),
                f"{write(worst, known.decimals)} ({worst_site})",
            )
        )
    return HeatMap(known, rows, _verdict(values, matrix, known), write(widest, known.decimals))


def _cell(estimate: Estimate | None, own: Estimate | None, widest: float, known: Figure) -> HeatCell:
    if estimate is None:
        return HeatCell(NOT_AVAILABLE, "no image has it", "", "heat-none")
    change = _against(estimate, own, known)
    text = f"{write(estimate.low, known.decimals)} to {write(estimate.high, known.decimals)}"
    told = "its own" if estimate is own else write_change(change, known.decimals) if own else ""
    return HeatCell(write(estimate.mean, known.decimals), text, told, _style(change, widest))


def _against(estimate: Estimate, own: Estimate | None, known: Figure) -> float | None:
    # As it is written: what reads as no difference must not be coloured as one.
    change = None if own is None else difference(estimate.mean, own.mean)
    return None if change is None else round(change, known.decimals)


def _style(change: float | None, widest: float) -> str:
    if change is None:
        return "heat-none"
    if not change:
        return "heat-same"
    level = math.ceil(_LEVELS * abs(change) / widest - 1e-9)
    return f"heat-{'up' if change > 0 else 'down'}{level}"


def _verdict(values: Sequence[Value], matrix: Matrix, known: Figure) -> str:
    if known.better == "neither":
        return ""
    return f"{verdict_text(verdict(values, matrix), known.title)}."


def _rank(model: str) -> int:
    kinds = (ORIGINAL, "alone", "pooled", "federated", "finetuned")
    return kinds.index(model.split(" ")[0]) if model.split(" ")[0] in kinds else len(kinds)


def _differences(compared: Json, run: Json) -> list[str]:
    """Keys with other values; the run's name says nothing, and seeds are told on their own."""
    ignored = {"name", "seed"}
    return sorted(
        key for key in (compared.keys() | run.keys()) - ignored if run and compared.get(key) != run.get(key)
    )


def _gains(values: Sequence[Value], metrics: list[str]) -> dict[tuple[str, str], MeanInterval]:
    gains = {}
    for metric in metrics:
        images = per_image(values, metric)
        for (model, site), enhanced in images.items():
            original = images.get((ORIGINAL, site), {})
            both = sorted(enhanced.keys() & original.keys())
            gain = mean_interval(enhanced[image] - original[image] for image in both)
            if model == "federated" and gain is not None:
                gains[(site, metric)] = gain
    return gains
