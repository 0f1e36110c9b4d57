"""From the rows of a run's files to scalars with names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hqgnet.report.figures import finite

Row = Mapping[str, Any]
# No site can have these names: a site's has no underscore.
_OF_KIND = {"site-mean": "site_mean", "pooled": "all_images"}
_SPENT = ("bytes_down", "bytes_up", "seconds")
_NO_FIGURES = ("round", "images")


class RowScalars:
    """Turns rows of ``rounds.jsonl`` and ``metrics.jsonl`` into scalars.

    Steps are rounds, counted over all phases. The names:

    - ``loss/<loss>/<site>`` and ``loss/<loss>/site_mean`` of the attempt that counted;
    - ``round/bytes_down``, ``round/bytes_up``, ``round/seconds``, with the attempts that did not count;
      ``round/sites`` (updates taken), ``round/failed``, and ``round/site_seconds/<site>``, a site's training;
    - ``<split>/<figure>/<site>``, ``.../site_mean`` and ``.../all_images`` (over the union of the images).

    No name is the beginning of another's path, which a store of files could not keep. What is missing, NaN or
    infinite gives no scalar.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[object, object], int] = {}
        self._spent: dict[int, dict[str, float]] = {}

    def of(self, rounds: Iterable[Row], evaluations: Iterable[Row]) -> dict[int, dict[str, float]]:
        """Return the scalars of further rows, by step in ascending order.

        Args:
            rounds: Of ``rounds.jsonl``: with all rows before them given, those that ``evaluations`` need.
            evaluations: Of ``metrics.jsonl``.
        """
        found: dict[int, dict[str, float]] = {}
        for row in rounds:
            step = int(row["global_round"])
            self._add_spent(step, row)
            if row.get("counted", True):
                self._steps[row["phase"], row["round"]] = step
                found.setdefault(step, {}).update(self._round(step, row))
        for row in evaluations:
            place = self._steps.get((row.get("phase"), row.get("round")))
            if place is not None:
                found.setdefault(place, {}).update(_evaluation(row))
        return {step: found[step] for step in sorted(found) if found[step]}

    def _add_spent(self, step: int, row: Row) -> None:
        sums = self._spent.setdefault(step, dict.fromkeys(_SPENT, 0.0))
        for name in _SPENT:
            sums[name] += finite(row.get(name)) or 0.0

    def _round(self, step: int, row: Row) -> dict[str, float]:
        sites = row.get("sites", {})
        values: dict[str, object] = {f"round/{name}": value for name, value in self._spent[step].items()}
        values |= {"round/sites": len(sites), "round/failed": len(row.get("failed", {}))}
        values |= {f"loss/{name}/site_mean": value for name, value in row.get("losses", {}).items()}
        for site, told in sites.items():
            values[f"round/site_seconds/{site}"] = told.get("seconds")
            values |= {f"loss/{name}/{site}": value for name, value in told.get("losses", {}).items()}
        return _finite(values)


def _evaluation(row: Row) -> dict[str, float]:
    whose = row.get("site") or _OF_KIND.get(str(row.get("kind")), row.get("kind"))
    return _finite(
        {f"{row['split']}/{name}/{whose}": value for name, value in row.items() if name not in _NO_FIGURES}
    )


def _finite(values: Mapping[str, object]) -> dict[str, float]:
    return {name: number for name, value in values.items() if (number := finite(value)) is not None}
