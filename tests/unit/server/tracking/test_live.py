"""Trackers beside a run: one that fails, or hangs, costs nothing but its own curves."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from server.run_directory import RunDirectory
from server.tracking import live
from server.tracking.base import ForgivingTracker, Outcome
from server.tracking.choice import Choice, TrackedRun
from server.tracking.live import LiveTracking


class Recorder:
    """Keeps what it is given; fails or hangs where it is told to."""

    def __init__(self, fails_at: int = 0) -> None:
        self.points: dict[tuple[str, int], float] = {}
        self.closed: list[Outcome | None] = []
        self.hold: threading.Event | None = None
        self._fails_at = fails_at

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self.hold is not None:
            self.hold.wait(10)
        if step == self._fails_at:
            raise OSError(28, "No space left on device")
        self.points |= {(name, step): value for name, value in values.items()}

    def close(self, outcome: Outcome | None) -> None:
        self.closed.append(outcome)


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    """By the choice's place, in the place of real ones."""
    made = {"good": Recorder(), "full": Recorder(fails_at=2)}
    monkeypatch.setattr(Choice, "open", lambda self, run: made[self.place])
    monkeypatch.setattr(live, "_PAUSE_S", 0.02)
    return made


def add_round(directory: RunDirectory, number: int) -> None:
    row = {"phase": "enhance", "round": number, "global_round": number, "losses": {"haar": 1.0 / number}}
    directory.append("rounds.jsonl", row)
    judged = {
        "phase": "enhance",
        "round": number,
        "split": "validation",
        "kind": "site-mean",
        "ssim_enhanced": 0.5,
    }
    directory.append("metrics.jsonl", judged)


def test_rows_are_brought_while_the_run_goes_on_and_one_failure_stops_one_tracker(
    tmp_path: Path, trackers: dict[str, Recorder]
) -> None:
    directory, warnings = RunDirectory(tmp_path), []
    add_round(directory, 1)
    choices = [Choice("tensorboard", "full"), Choice("tensorboard", "good")]
    with LiveTracking(TrackedRun(tmp_path, "a", "b"), choices, warnings.append):
        deadline = time.monotonic() + 5
        while ("loss/haar/site_mean", 1) not in trackers["good"].points and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ("validation/ssim_enhanced/site_mean", 1) in trackers["good"].points
        for number in (2, 3, 4):
            add_round(directory, number)
    good, full = trackers["good"], trackers["full"]
    assert {step for _, step in good.points} == {1, 2, 3, 4}
    assert {step for _, step in full.points} == {1}
    # What the one that failed has is kept, and what it holds open is let go.
    assert good.closed == full.closed == ["completed"]
    [warning] = warnings
    assert "tensorboard:full failed (OSError" in warning and "No space left" in warning


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("of the run"), "failed"),
        (KeyboardInterrupt("of the run"), "stopped"),
        (SystemExit("of the run"), "stopped"),
    ],
)
def test_a_run_that_fails_keeps_its_own_error_and_its_last_rows(
    error: BaseException, outcome: Outcome, tmp_path: Path, trackers: dict[str, Recorder]
) -> None:
    directory = RunDirectory(tmp_path)
    with (
        pytest.raises(type(error), match="of the run"),
        LiveTracking(TrackedRun(tmp_path, "a", "b"), [Choice("tensorboard", "good")], lambda warning: None),
    ):
        add_round(directory, 1)
        raise error
    assert ("loss/haar/site_mean", 1) in trackers["good"].points
    assert trackers["good"].closed == [outcome]


def test_a_tracker_that_hangs_does_not_hold_the_run(
    tmp_path: Path, trackers: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LAST_WORDS_S", 0.1)
    hold = trackers["good"].hold = threading.Event()
    warnings: list[str] = []
    begun = time.monotonic()
    with LiveTracking(TrackedRun(tmp_path, "a", "b"), [Choice("tensorboard", "good")], warnings.append):
        add_round(RunDirectory(tmp_path), 1)
    assert time.monotonic() - begun < 5
    hold.set()
    assert warnings == ["a tracker did not take the last rows; hqgnet-server track makes the curves anew"]


def test_files_that_cannot_be_read_are_a_warning(tmp_path: Path, trackers: dict[str, Recorder]) -> None:
    warnings: list[str] = []
    add_round(RunDirectory(tmp_path), 1)
    with (
        pytest.raises(ValueError, match="of the run"),
        LiveTracking(TrackedRun(tmp_path, "a", "b"), [Choice("tensorboard", "good")], warnings.append),
    ):
        deadline = time.monotonic() + 5
        while not trackers["good"].points and time.monotonic() < deadline:
            time.sleep(0.01)
        with (tmp_path / "rounds.jsonl").open("a") as stream:
            stream.write("{}\n")
        while not warnings and time.monotonic() < deadline:
            time.sleep(0.01)
        # The run goes on: how it ends is not known yet.
        assert trackers["good"].closed == []
        raise ValueError("of the run")
    [warning] = warnings
    assert "cannot be read (KeyError)" in warning
    assert trackers["good"].closed == ["failed"]


def test_without_trackers_nothing_runs(tmp_path: Path) -> None:
    before = threading.active_count()
    with LiveTracking(TrackedRun(tmp_path, "a", "b"), [], lambda warning: None):
        assert threading.active_count() == before


def test_a_tracker_that_does_not_open_is_tried_once() -> None:
    opened: list[int] = []
    warnings: list[str] = []

    def refuse() -> Recorder:
        opened.append(1)
        raise ConnectionError("away")

    tracker = ForgivingTracker("mlflow:http://x", refuse, warnings.append)
    tracker.scalars(1, {"a": 1.0})
    tracker.scalars(2, {"a": 1.0})
    tracker.close("completed")
    assert (len(opened), len(warnings)) == (1, 1)
    assert warnings[0].startswith("mlflow:http://x failed (ConnectionError: away)")


def test_a_tracker_that_fails_and_cannot_be_closed_is_warned_of_once() -> None:
    class Gone(Recorder):
        def close(self, outcome: Outcome | None) -> None:
            super().close(outcome)
            raise ConnectionError("still away")

    gone, warnings = Gone(fails_at=1), []
    tracker = ForgivingTracker("mlflow:http://x", lambda: gone, warnings.append)
    tracker.scalars(1, {"a": 1.0})
    tracker.close("failed")
    assert gone.closed == ["failed"]
    [warning] = warnings
    assert "No space left" in warning
