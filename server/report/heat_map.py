"""One metric of all compared models at all sites, as a heat map, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hqgnet.report.figures import NOT_AVAILABLE, Figure, write, write_change
from server.comparison.figures import notes
from server.comparison.judging import ORIGINAL, Value
from server.comparison.matrix import Difference, Estimate, Matrix, build_matrix, differences, verdict
from server.comparison.table import verdict_text

_LEVELS = 4
_NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class HeatCell:
    """A model at a site.

    Attributes:
        mean: Over images.
        interval: 95 %, as it is written.
        change: From the model that others are held against, of the same seeds and images; empty where that
            is not known.
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


def heat_map(
    values: Sequence[Value], known: Figure, sites: list[str], seeds: list[int], base: str
) -> HeatMap:
    """Return the heat map of a metric.

    Args:
        values: Figures of single images, of all models.
        known: Which figure.
        sites: Columns.
        seeds: Of training.
        base: The variant that others are held against; empty: each site's own model.
    """
    matrix = build_matrix(values, known.name)
    held = {site: base or f"alone {site}" for site in sites}
    changes = _changes(values, known, held)
    widest = max(map(abs, changes.values()), default=0.0)
    paired = differences(values, known.name, base) if base else {}
    rows = []
    for model in sorted(matrix.mean, key=lambda name: (_rank(name), name != base, name)):
        of_seeds, (worst_site, worst) = matrix.seeds[model], matrix.worst[model]
        each = [write(of_seeds.get(seed), known.decimals) for seed in seeds]
        cells = [
            _cell(
                matrix.cells.get((model, site)),
                known,
                changes.get((model, site)),
                widest,
                is_own=model == held[site],
            )
            for site in sites
        ]
        rows.append(
            HeatRow(
                model,
                cells,
                _cell(matrix.mean[model], known),
                ", ".join(each) if len(set(each)) > 1 else "",
                f"{write(worst, known.decimals)} ({worst_site})",
                _written(paired[model], known, seeds) if model in paired else [],
            )
        )
    verdicts = _verdicts(values, matrix, known, seeds, paired if base else None)
    return HeatMap(known, rows, verdicts, write(widest, known.decimals), notes(known.name, base or None))


def _changes(values: Sequence[Value], known: Figure, held: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """Return each model's difference, at each site, from the one that it is held against there.

    It is of the seeds and images that both have, and as it is written: what reads as no difference must not
    be coloured as one. A model that has none in common is absent.

    Args:
        values: Figures of all models.
        known: Which figure.
        held: Whom a site's models are held against, by site.
    """
    changes: dict[tuple[str, str], float] = {}
    for site, own in held.items():
        here = [value for value in values if value.site == site and value.metric == known.name]
        found = {value.model: 0.0 for value in here if value.model == own}
        found |= {model: one.mean for model, one in differences(here, known.name, own, draws=1).items()}
        # Of the originals it is what that model gains on them, turned about.
        gained = differences(
            [value for value in here if value.model in (own, ORIGINAL)], known.name, ORIGINAL, draws=1
        )
        if own in gained:
            found[ORIGINAL] = -gained[own].mean
        changes |= {(model, site): round(change, known.decimals) for model, change in found.items()}
    return changes


def _cell(
    estimate: Estimate | None,
    known: Figure,
    change: float | None = None,
    widest: float = 0.0,
    *,
    is_own: bool = False,
) -> HeatCell:
    if estimate is None:
        return HeatCell(NOT_AVAILABLE, "no image has it", "", "heat-none")
    told = "" if change is None or is_own else write_change(change, known.decimals)
    interval = _interval(estimate, lambda end: write(end, known.decimals))
    return HeatCell(write(estimate.mean, known.decimals), interval, told, _style(change, widest), is_own)


def _interval(estimate: Estimate, written: Callable[[object], str]) -> str:
    ends = [written(end) for end in (estimate.low, estimate.high)]
    return _NO_INTERVAL if NOT_AVAILABLE in ends else " to ".join(ends)


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
    each = ", ".join(write_change(found.seeds.get(seed), known.decimals) for seed in seeds)
    interval = _interval(found, lambda end: write_change(end, known.decimals))
    parts = [write_change(found.mean, known.decimals), interval]
    parts += [f"seeds {each}"] if len(seeds) > 1 else []
    return parts + (["clear of 0"] if found.is_clear else [])


def _rank(model: str) -> int:
    kinds = (ORIGINAL, "alone", "pooled", "federated", "finetuned")
    return kinds.index(model.split(" ")[0]) if model.split(" ")[0] in kinds else len(kinds)
