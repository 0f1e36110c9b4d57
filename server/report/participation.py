"""Who took part in which round, who did not, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from server.report.codes import Part, explain, part_of
from server.report.record import Json, RunRecord

_COLUMNS = 20
"""Rounds side by side; more begin a new table, so that a page can be printed."""

MARKS: dict[Part, str] = {
    Part.TOOK_PART: "\u25cf",
    Part.FAILED: "F",
    Part.DECLINED: "D",
    Part.NO_ANSWER: "N",
    Part.REFUSED: "R",
    Part.ABSENT: "A",
    Part.NOT_ASKED: "\u00b7",
}


@dataclass(frozen=True)
class Cell:
    """A site in an attempt at a round.

    Attributes:
        part: What it did.
        code: Why it is not in; empty where no code says it.
    """

    part: Part
    code: str = ""

    @property
    def style(self) -> str:
        """CSS class."""
        return f"part-{self.part.name.lower().replace('_', '-')}"

    @property
    def mark(self) -> str:
        """What stands in the table."""
        return MARKS[self.part]

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.part}: {self.code}" if self.code else str(self.part)


@dataclass(frozen=True)
class Attempt:
    """A column: one attempt at a round.

    Attributes:
        label: Round over all phases, and the number of the attempt where it is not the first.
        phase: Of the round.
        counted: Whether its result went into the model.
        begins: Whether a phase begins with it.
    """

    label: str
    phase: str
    counted: bool
    begins: bool


@dataclass(frozen=True)
class Block:
    """Some attempts side by side.

    Attributes:
        title: Which rounds.
        attempts: Columns.
        rows: By site.
    """

    title: str
    attempts: list[Attempt]
    rows: dict[str, list[Cell]]


@dataclass(frozen=True)
class Fault:
    """A code, and where it came up."""

    code: str
    part: Part
    meaning: str
    where: list[str]


@dataclass(frozen=True)
class Participation:
    """The whole section.

    Attributes:
        blocks: The table, in pieces.
        shares: By site: rounds it took part in, of all that counted.
        faults: Codes that came up, most frequent first.
        parts: What the table shows, for its legend.
        uncounted: Attempts that did not count.
    """

    blocks: list[Block]
    shares: dict[str, tuple[int, int]]
    faults: list[Fault]
    parts: list[Cell]
    uncounted: int


def participation(record: RunRecord) -> Participation:
    """Return who took part."""
    phases = [str(row["phase"]) for row in record.rounds]
    begins = [before != after for before, after in pairwise(["", *phases])]
    columns = [
        (_attempt(row, begins=new), {site: _cell(row, site) for site in record.sites})
        for row, new in zip(record.rounds, begins, strict=True)
    ]
    blocks = []
    for begin in range(0, len(columns), _COLUMNS):
        piece = columns[begin : begin + _COLUMNS]
        attempts = [attempt for attempt, _ in piece]
        rows = {site: [cells[site] for _, cells in piece] for site in record.sites}
        blocks.append(Block(_title(attempts), attempts, rows))
    counted = record.counted
    shares = {
        site: (sum(site in row.get("sites", {}) for row in counted), len(counted)) for site in record.sites
    }
    present = {cell.part for _, cells in columns for cell in cells.values()}
    parts = [Cell(part) for part in Part if part in present]
    return Participation(blocks, shares, _faults(record), parts, len(record.rounds) - len(counted))


def _title(attempts: list[Attempt]) -> str:
    spans = [
        (phase, [one.label for one in attempts if one.phase == phase])
        for phase in dict.fromkeys(one.phase for one in attempts)
    ]
    return "; ".join(
        f"{phase}: {f'round {labels[0]}' if len(labels) == 1 else f'rounds {labels[0]} to {labels[-1]}'}"
        for phase, labels in spans
    )


def _attempt(row: Json, *, begins: bool) -> Attempt:
    again = int(row.get("attempt", 0))
    label = f"{row['global_round']}.{again + 1}" if again else str(row["global_round"])
    return Attempt(label, str(row["phase"]), bool(row.get("counted", True)), begins)


def _cell(row: Json, site: str) -> Cell:
    if site in row.get("sites", {}):
        return Cell(Part.TOOK_PART)
    if site in row.get("failed", {}):
        code = str(row["failed"][site])
        return Cell(part_of(code), code)
    if site in row.get("absent", ()):
        return Cell(Part.ABSENT)
    return Cell(Part.NOT_ASKED, str(row.get("sitting_out", {}).get(site, "")))


def _faults(record: RunRecord) -> list[Fault]:
    found: dict[str, dict[str, list[int]]] = {}
    for row in record.rounds:
        for site, code in row.get("failed", {}).items():
            found.setdefault(str(code), {}).setdefault(site, []).append(int(row["global_round"]))
    faults = [
        Fault(code, part_of(code), explain(code), [f"{site}: {_ranges(by[site])}" for site in sorted(by)])
        for code, by in found.items()
    ]
    often = {code: sum(map(len, by.values())) for code, by in found.items()}
    return sorted(faults, key=lambda fault: (-often[fault.code], fault.code))


def _ranges(rounds: Iterable[int]) -> str:
    """Rounds as a reader writes them: ``3, 5 to 9``."""
    numbers = sorted(set(rounds))
    starts = [numbers[0], *(after for before, after in pairwise(numbers) if after - before > 1)]
    ends = [*(before for before, after in pairwise(numbers) if after - before > 1), numbers[-1]]
    spans = [str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    return f"round{'s' if len(numbers) > 1 else ''} {', '.join(spans)}"
