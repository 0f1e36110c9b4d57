"""What a run directory tells, read as it stands: of a run that is over, failed, or going on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgnet.errors import ConfigurationError, Problem
from server.progress import parse_status
from server.run_directory import RunDirectory

Json = dict[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """A run, as its files tell it. What a file does not tell is empty.

    Attributes:
        name: Of the run's folder.
        state: ``running``, ``completed``, ``failed``, or ``absent`` where nothing says it.
        exit_code: It ended with.
        problems: Why it failed.
        experiment: With every default spelled out.
        rounds: Attempts at rounds, in order.
        metrics: Rows of evaluations, in order.
        events: As they happened.
        audit: Entries of the audit log.
        table: The final judgement on test images; None before it.
        choice: Which model is the best; None before the first evaluation.
    """

    name: str
    state: str
    exit_code: int
    problems: tuple[Problem, ...]
    experiment: Json
    rounds: tuple[Json, ...]
    metrics: tuple[Json, ...]
    events: tuple[Json, ...]
    audit: tuple[Json, ...]
    table: Json | None
    choice: Json | None

    @property
    def counted(self) -> list[Json]:
        """The attempts whose result went into the model: one a round."""
        return [row for row in self.rounds if row.get("counted", True)]

    @property
    def sites(self) -> list[str]:
        """Every site that some file names, in alphabetical order."""
        named = {str(event["name"]) for event in self.events if event.get("event") == "site"}
        for row in self.rounds:
            named |= {
                *row.get("sites", {}),
                *row.get("failed", {}),
                *row.get("absent", ()),
                *row.get("sitting_out", ()),
            }
        named |= {str(row["site"]) for row in self.metrics if "site" in row}
        table = self.table or {}
        return sorted(named | set(table.get("sites", {})) | set(table.get("failed", {})))

    def global_round(self, phase: object, number: object) -> int | None:
        """Return a phase's round as counted over all phases; None if it is not known."""
        for row in self.rounds:
            if (row.get("phase"), row.get("round")) == (phase, number):
                return int(row["global_round"])
        return None


def read_run(folder: Path) -> RunRecord:
    """Read a run directory.

    Raises:
        ConfigurationError: If it is none, or a file of it cannot be read.
    """
    directory = RunDirectory(folder)
    if not (directory.experiment.is_file() or directory.status.is_file()):
        what = "holds no run" if folder.is_dir() else "is no folder"
        remedy = "Give the folder of a run, such as runs/demo"
        raise ConfigurationError(Problem(str(folder), what, remedy))
    problems: list[Problem] = []
    try:
        state, exit_code, said = parse_status(directory)
    except (OSError, ValueError, KeyError, TypeError):
        problems.append(_unreadable(directory.status))
        state, exit_code, said = "absent", 0, []
    read = _Reader(folder, problems)
    record = RunRecord(
        name=folder.resolve().name,
        state=state,
        exit_code=exit_code,
        problems=tuple(said),
        experiment=read.one("experiment.json") or {},
        rounds=read.lines("rounds.jsonl"),
        metrics=read.lines("metrics.jsonl"),
        events=read.lines("progress.jsonl"),
        audit=read.lines("audit.jsonl"),
        table=read.one("table.json"),
        choice=read.one("choice.json"),
    )
    if not all({"phase", "round", "global_round"} <= row.keys() for row in record.rounds):
        problems.append(_unreadable(folder / "rounds.jsonl"))
    if problems:
        raise ConfigurationError(problems)
    return record


class _Reader:
    """Reads the files of a folder; those that are missing are empty, those that are spoilt are noted."""

    def __init__(self, folder: Path, problems: list[Problem]) -> None:
        self._folder = folder
        self._problems = problems

    def one(self, name: str) -> Json | None:
        text = self._text(name)
        if text is None:
            return None
        try:
            return _object(text)
        except ValueError:
            self._problems.append(_unreadable(self._folder / name))
            return None

    def lines(self, name: str) -> tuple[Json, ...]:
        text = self._text(name) or ""
        whole, _, _ = text.rpartition("\n")  # what follows is a line that is being written
        try:
            return tuple(_object(line) for line in whole.split("\n") if line)
        except ValueError:
            self._problems.append(_unreadable(self._folder / name))
            return ()

    def _text(self, name: str) -> str | None:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            self._problems.append(_unreadable(self._folder / name))
            return None


def _object(text: str) -> Json:
    # NaN is no JSON, but Python writes it; on a page it is a figure that is not there.
    data = json.loads(text, parse_constant=lambda _: None)
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    return data


def _unreadable(path: Path) -> Problem:
    return Problem(str(path), "cannot be read", "Take the file from a copy of the run, or remove it")
