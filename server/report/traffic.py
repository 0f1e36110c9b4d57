"""Bytes and seconds, round by round and in all."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from hqgnet.report.bars import BarPlot, Part, bar_plot
from hqgnet.report.figures import finite, write_bytes, write_seconds
from server.report.record import Json, RunRecord

_MEGA = 1e6


@dataclass(frozen=True)
class Traffic:
    """The whole section.

    Attributes:
        facts: Totals, by name.
        plots: A bar a round.
    """

    facts: list[tuple[str, str]]
    plots: list[BarPlot]


def traffic(record: RunRecord) -> Traffic:
    """Return what the run sent and how long it took; attempts that did not count are in it."""
    by_round: dict[int, list[Json]] = {}
    for row in record.rounds:
        by_round.setdefault(int(row["global_round"]), []).append(row)
    rounds = sorted(by_round)
    down, up, spent = (
        [_sum(by_round[n], key) for n in rounds] for key in ("bytes_down", "bytes_up", "seconds")
    )
    slowest = [sum(_slowest(row) for row in by_round[number]) for number in rounds]
    rest = [max(0.0, whole - part) for whole, part in zip(spent, slowest, strict=True)]
    facts = [
        ("to the sites", write_bytes(sum(down))),
        ("from the sites", write_bytes(sum(up))),
        ("rounds, training and transfer", write_seconds(sum(spent))),
        ("of which the slowest site trained", write_seconds(sum(slowest))),
    ]
    judged = [event for event in record.events if event.get("event") == "evaluation"]
    if judged:
        count = f"{len(judged)} evaluation{'s' if len(judged) > 1 else ''}"
        facts.append((f"{count}, slowest site", write_seconds(_sum(judged, "seconds"))))
    if rounds:
        facts.append(("median round", write_seconds(median(spent))))
    plots = [
        bar_plot(
            "bytes",
            "Traffic",
            "MB",
            f"{write_bytes(sum(down))} to the sites and {write_bytes(sum(up))} from them in "
            f"{len(rounds)} rounds.",
            rounds,
            [
                Part("to the sites", [value / _MEGA for value in down]),
                Part("from the sites", [value / _MEGA for value in up]),
            ],
        ),
        bar_plot(
            "seconds",
            "Time",
            "seconds",
            f"{write_seconds(sum(spent))} in {len(rounds)} rounds, of which the slowest site trained "
            f"{write_seconds(sum(slowest))}.",
            rounds,
            [Part("slowest site's training", slowest), Part("transfer, checks, waiting", rest)],
        ),
    ]
    return Traffic(facts, [plot for plot in plots if plot])


def _sum(rows: list[Json], key: str) -> float:
    return sum(finite(row.get(key)) or 0.0 for row in rows)


def _slowest(row: Json) -> float:
    return max((finite(of.get("seconds")) or 0.0 for of in row.get("sites", {}).values()), default=0.0)
