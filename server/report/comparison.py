"""A comparison's model x site matrix as a heat map, and what it says: of federating, or of variants."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.report.figures import NOT_AVAILABLE, Figure, difference, figure, write, write_change
from hqgnet.report.interval import MeanInterval, mean_interval
from server.comparison.figures import COLUMNS, is_of_image, notes
from server.comparison.judging import ORIGINAL, Value, read_values
from server.comparison.matrix import (
    Difference,
    Estimate,
    Matrix,
    build_matrix,
    differences,
    per_image,
    verdict,
)
from server.comparison.table import verdict_text
from server.report.record import Json, RunRecord

_LEVELS = 4


@dataclass(frozen=True)
class HeatCell:
    """A model at a site.

    Attributes:
        mean: Over images.
        interval: 95 %, as it is written.
        change: Against the model that others are held against; empty where that is not known.
        style: CSS class, from ``heat-down4`` to ``heat-up4``.
        is_held_against: Whether this is the model that others at the site are held against.
    """

    mean: str
    interval: str
    change: str
    style: str
    is_held_against: bool = False


@dataclass(frozen=True)
class HeatRow:
    """A model at every site.

    Attributes:
        model: Its name.
        cells: A site each.
        mean: Over sites.
        seeds: The mean over sites of each seed, ``n/a`` where the model was not trained with one; empty where
            there is nothing to tell apart.
        worst: The worst site.
        difference: From ``base``, of the same images: mean, interval, seeds, whether it is clear of 0; empty
            where there is none.
    """

    model: str
    cells: list[HeatCell]
    mean: HeatCell
    seeds: str
    worst: str
    difference: list[str]


@dataclass(frozen=True)
class HeatMap:
    """One metric of all models at all sites.

    Attributes:
        figure: Which.
        rows: A model each.
        verdicts: Whether federating pays, or which variants differ clearly, in words; empty where more is not
            always better.
        widest: Largest difference from the model that others are held against.
        notes: What must be known of the figure.
    """

    figure: Figure
    rows: list[HeatRow]
    verdicts: list[str]
    widest: str
    notes: list[str]


@dataclass(frozen=True)
class ComparisonPage:
    """The section.

    Attributes:
        base: The variant that others are held against; empty where that is each site's own model.
        sites: Columns of all maps.
        maps: A metric each.
        seeds: Of training.
        differs: Keys in which the compared experiment is not the run's.
        gains: Federated less original of the same images, by site and metric.
    """

    base: str
    sites: list[str]
    maps: list[HeatMap]
    seeds: list[int]
    differs: list[str]
    gains: dict[tuple[str, str], MeanInterval]

    @property
    def heading(self) -> str:
        """What the section answers."""
        return "Which variant" if self.base else "Does federating pay"

    @property
    def held_against(self) -> str:
        """Whom a difference is from, in words."""
        return self.base or "the site's own model"


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
    # Files of earlier versions hold figures whose mean over images is something else.
    figures = [v for v in read_values(values) if v.value is not None and is_of_image(v.metric)]
    try:
        plan: Json = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        compared: Json = dict(plan["experiment"])
        base = next(iter(dict(plan.get("variants", {}))), "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Take it from a copy, or compare again"
        raise DataError(Problem(str(folder / "plan.json"), "cannot be read", remedy)) from error
    sites = sorted({value.site for value in figures})
    metrics = sorted({value.metric for value in figures})
    seeds = sorted({value.seed for value in figures})
    shown = [figure(column.metric) for column in COLUMNS if column.metric in metrics]
    maps = [_heat_map(figures, known, sites, seeds, base) for known in shown]
    differs = _differences(compared, record.experiment)
    return ComparisonPage(base, sites, maps, seeds, differs, _gains(figures, metrics))


def _heat_map(
    values: Sequence[Value], known: Figure, sites: list[str], seeds: list[int], base: str
) -> HeatMap:
    matrix = build_matrix(values, known.name)
    own = {site: matrix.cells.get((base or f"alone {site}", site)) for site in sites}
    changes = [
        change
        for (_, site), estimate in matrix.cells.items()
        if (change := _against(estimate, own.get(site), known)) is not None
    ]
    widest = max(map(abs, changes), default=0.0)
    paired = differences(values, known.name, base) if base else {}
    rows = []
    for model in sorted(matrix.mean, key=lambda name: (_rank(name), name != base, name)):
        of_seeds, (worst_site, worst) = matrix.seeds[model], matrix.worst[model]
        each = [write(of_seeds.get(seed), known.decimals) for seed in seeds]
        rows.append(
            HeatRow(
                model,
                [_cell(matrix.cells.get((model, site)), own[site], widest, known) for site in sites],
                _cell(matrix.mean[model], None, widest, known),
                ", ".join(each) if len(set(each)) > 1 else "",
                f"{write(worst, known.decimals)} ({worst_site})",
                _written(paired[model], known, seeds) if model in paired else [],
            )
        )
    verdicts = _verdicts(values, matrix, known, seeds, paired if base else None)
    return HeatMap(known, rows, verdicts, write(widest, known.decimals), notes(known.name, base or None))


def _cell(estimate: Estimate | None, own: Estimate | None, widest: float, known: Figure) -> HeatCell:
    if estimate is None:
        return HeatCell(NOT_AVAILABLE, "no image has it", "", "heat-none")
    change = _against(estimate, own, known)
    text = f"{write(estimate.low, known.decimals)} to {write(estimate.high, known.decimals)}"
    is_own = estimate is own
    told = write_change(change, known.decimals) if own and not is_own else ""
    return HeatCell(write(estimate.mean, known.decimals), text, told, _style(change, widest), is_own)


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


def _verdicts(
    values: Sequence[Value],
    matrix: Matrix,
    known: Figure,
    seeds: list[int],
    paired: Mapping[str, Difference] | None,
) -> list[str]:
    if known.better == "neither":
        return []
    if paired is None:
        return [f"{verdict_text(verdict(values, matrix), known.title)}."]
    return [
        f"{known.title}: {model} {', '.join(_written(found, known, seeds)[:-1])}."
        for model, found in paired.items()
        if found.is_clear
    ]


def _written(found: Difference, known: Figure, seeds: list[int]) -> list[str]:
    mean, low, high = (write_change(end, known.decimals) for end in (found.mean, found.low, found.high))
    each = ", ".join(write_change(found.seeds.get(seed), known.decimals) for seed in seeds)
    parts = [mean, f"{low} to {high}"]
    parts += [f"seeds {each}"] if len(seeds) > 1 else []
    return parts + (["clear of 0"] if found.is_clear else [])


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
