"""What a comparison says beside a run: a heat map a metric, and whether it is of the run's experiment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.report.figures import figure
from hqgnet.report.interval import MeanInterval, mean_interval
from server.comparison.figures import COLUMNS, is_of_image
from server.comparison.judging import ORIGINAL, Value, read_values
from server.comparison.matrix import per_image
from server.report.compared_experiment import nearest_experiment
from server.report.heat_map import HeatMap, heat_map
from server.report.record import Json, RunRecord


@dataclass(frozen=True)
class ComparisonPage:
    """The section.

    Attributes:
        base: The variant that others are held against, the first that was judged; empty where that is each
            site's own model.
        sites: Columns of all maps.
        maps: A metric each.
        seeds: Of training.
        nearest: The judged variant whose experiment is most like the run's; empty without variants.
        differs: Keys in which that, or the compared experiment, is not the run's; None where the run's is not
            known.
        gains: Federated less original of the same images, by site and metric.
    """

    base: str
    sites: list[str]
    maps: list[HeatMap]
    seeds: list[int]
    nearest: str
    differs: list[str] | None
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
        variants = {str(name): dict(of) for name, of in dict(plan.get("variants", {})).items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Take it from a copy, or compare again"
        raise DataError(Problem(str(folder / "plan.json"), "cannot be read", remedy)) from error
    # The plan is written before its variants are trained, and names those of a call that was interrupted.
    models = {value.model for value in figures}
    judged = {name: of for name, of in variants.items() if name in models} or variants
    base = next(iter(judged), "")
    sites = sorted({value.site for value in figures})
    metrics = sorted({value.metric for value in figures})
    seeds = sorted({value.seed for value in figures})
    shown = [figure(column.metric) for column in COLUMNS if column.metric in metrics]
    maps = [heat_map(figures, known, sites, seeds, base) for known in shown]
    nearest, differs = nearest_experiment(record.experiment, judged or {"": compared})
    return ComparisonPage(base, sites, maps, seeds, nearest, differs, _gains(figures, metrics))


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
