"""What was run, with which versions: enough to run it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.report.record import RunRecord

Facts = list[tuple[str, str]]


def identity(record: RunRecord) -> Facts:
    """Return the run's identifier, seed, digests and versions."""
    started = [entry["facts"] for entry in record.audit if entry.get("event") == "run-started"]
    resumed = [entry for entry in record.audit if entry.get("event") == "run-resumed"]
    known = started[-1] if started else {}
    runs = [str(row["run"]) for row in (*record.rounds, *record.metrics) if "run" in row]
    facts = [("run identifier", str(known.get("run") or (runs[-1] if runs else "not told")))]
    facts.append(("seed", str(record.experiment.get("seed", "not told"))))
    if "experiment" in known:
        facts.append(("experiment, SHA-256", str(known["experiment"])))
    facts += [(f"version of {name}", str(version)) for name, version in known.get("versions", {}).items()]
    if resumed:
        facts.append(("resumed", f"{len(resumed)} times" if len(resumed) > 1 else "once"))
    published = {
        str(entry["facts"].get("file")): str(entry["facts"].get("sha256"))
        for entry in record.audit
        if entry.get("event") == "model-published"
    }
    return [*facts, *((f"{file}, SHA-256", sha256) for file, sha256 in sorted(published.items()))]


def configuration(record: RunRecord) -> dict[str, Facts]:
    """Return the experiment's keys by section, in the order of the file."""
    general: Facts = []
    sections: dict[str, Facts] = {"experiment": general}
    for key, value in record.experiment.items():
        if isinstance(value, dict):
            sections[key] = list(_flat(value))
        else:
            general.append((key, _written(value)))
    return {name: facts for name, facts in sections.items() if facts}


def _flat(mapping: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _written(value)


def _written(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return str(value)
