"""The benchmark of a round: where time goes, read from records of a run made by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.round import PARTS, read_rounds, summary


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(1e9 + seconds, UTC).isoformat(timespec="milliseconds")


def entry(seconds: float, event: str, **facts: Any) -> dict[str, Any]:
    return {"time": stamp(seconds), "event": event, "facts": {"run": "run-1", "phase": "enhance", **facts}}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


OTHER_RUN = ((100.0, "asked"), (200.0, "left"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    progress: list[dict[str, Any]] = [{"event": "phase", "phase": "enhance", "time": 1e9}]
    audit, rounds, asked = [], [], []
    for number, begun in ((1, 1.0), (2, 21.0)):
        place = {"round": number}
        progress.append({"event": "round", "phase": "enhance", **place, "time": 1e9 + begun + 14.0})
        sites = {"slow": {"seconds": 10.0}, "fast": {"seconds": 4.0}}
        rounds.append(
            {"run": "run-1", "phase": "enhance", **place, "counted": True, "seconds": 14.0, "sites": sites}
        )
        for name in sites:
            audit.append(entry(begun + 13.5, "update-accepted", site=name, **place))
        audit += [entry(begun + 15.0, "checkpoint", **place), entry(begun + 18.0, "checkpoint", **place)]
        asked += [entry(begun + 0.5, "asked", kind="train", **place)]
        asked += [entry(begun + 11.5, "left", kind="train", **place)]
        # The site's log holds other runs too.
        asked += [entry(begun + when, event, kind="train", **place, run="run-2") for when, event in OTHER_RUN]
    write(tmp_path / "run" / "progress.jsonl", progress)
    write(tmp_path / "run" / "audit.jsonl", audit)
    write(tmp_path / "run" / "rounds.jsonl", rounds)
    write(tmp_path / "work" / "audit.jsonl", asked)
    return tmp_path


def test_every_second_is_in_one_part(run: Path) -> None:
    rounds = read_rounds(run / "run", [run / "work"])
    first = {
        "selecting": 1.0,
        "training": 10.0,
        "site": 1.0,
        "transport": 2.5,
        "combining": 0.5,
        "checkpoint": 1.0,
        "evaluation": 3.0,
    }
    assert rounds[0] == pytest.approx(first, abs=1e-5)
    assert rounds[1]["selecting"] == pytest.approx(2.0, abs=1e-5)
    # From checkpoint to checkpoint.
    assert sum(rounds[1].values()) == pytest.approx(39.0 - 19.0, abs=1e-5)


def test_the_first_round_is_told_apart(run: Path) -> None:
    result = summary(read_rounds(run / "run", [run / "work"]))
    assert result["round_seconds"] == pytest.approx(20.0, abs=1e-5)
    assert result["overhead_share"] == pytest.approx(0.5, abs=1e-5)
    assert result["below_target"] is False
    assert set(result["first_round"]) == set(PARTS)
