"""The benchmark of aggregation, at a size that takes seconds."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import aggregation
from benchmarks.harness import PeakMemory, in_child, seconds

WANTED = {"peak_model_copies", "speedup_vs_flower", "fraction_of_add_bandwidth", "max_abs_error"}


def test_it_prints_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--sites", "3", "--params", "300000", "--repeats", "1", "--threads", "1", "--json"]
    aggregation.main([*options, "--folder", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    assert result.keys() >= WANTED
    assert all(result[name] > 0 for name in WANTED - {"max_abs_error"})
    assert 0 <= result["max_abs_error"] < 1e-6
    assert result["max_abs_difference_in_reverse_order"] == 0
    assert (result["sites"], result["flower_sites_measured"], result["threads"]) == (3, 3, 1)
    assert not list(tmp_path.iterdir())


def test_a_model_may_be_averaged_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "_LARGEST_TENSOR", 1000)
    monkeypatch.setattr(aggregation, "available_bytes", lambda: 40_000)
    result = aggregation.measure_speed(tmp_path, 2, 5500, 1, 1)
    assert result["slices"] == 3
    assert result["max_abs_error"] < 1e-6


def test_updates_differ_and_are_of_the_asked_size() -> None:
    updates = aggregation.Updates(3, 5000)
    arrays = [updates.arrive(site, updates.spans) for site in range(3)]
    assert all(sum(array.size for array in one.values()) == 5000 for one in arrays)
    assert not np.array_equal(arrays[0]["generator.00000"], arrays[1]["generator.00000"])


def hold_and_let_go() -> dict[str, object]:
    kept = np.ones(20_000_000, np.uint8)
    peak = PeakMemory()
    passing = np.ones(50_000_000, np.uint8)
    del passing
    return {"bytes": peak.bytes(), "kept": int(kept.sum())}


def test_the_peak_is_that_of_what_was_held_since() -> None:
    # As the benchmark does: a process of its own has nothing to give back meanwhile.
    measured = in_child(hold_and_let_go)
    assert 45_000_000 < measured["bytes"] < 65_000_000
    assert measured["kept"] == 20_000_000


def fail() -> dict[str, object]:
    raise SystemExit(3)


def test_a_child_that_dies_is_told() -> None:
    with pytest.raises(RuntimeError, match="fail ended without a result"):
        in_child(fail)


def test_the_first_call_does_not_count() -> None:
    calls: list[int] = []
    assert len(seconds(lambda: calls.append(1), 3)) == 3
    assert len(calls) == 4


def test_figures_are_of_a_run_without_flower_above_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "available_bytes", lambda: 10_000_000)
    options = Namespace(
        sites=3, params=300_000, threads=1, repeats=1, flower_sites=None, folder=tmp_path, json=True
    )
    result = aggregation.measure(options)
    # 0.6 * 10 MB / (1.2 MB * 2.5)
    assert result["flower_sites_measured"] == 2
    expected = max(result["flower_peak_model_copies_measured"].values()) / 2 * 3
    assert result["flower_peak_model_copies_scaled"] == pytest.approx(expected)
