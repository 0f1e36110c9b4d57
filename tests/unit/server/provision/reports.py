"""What a report of provisioning says, and what it has changed on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server.federation import Federation
from server.provision.report import Report

Snapshot = Callable[[Path], dict[str, bytes]]
MakeFederation = Callable[..., Federation]


def states(report: Report) -> dict[str, str]:
    return {row.name: row.state for row in report.rows}


def notes(report: Report, name: str) -> str:
    [row] = [row for row in report.rows if row.name == name]
    return "\n".join(row.notes)


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
