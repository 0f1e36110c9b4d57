"""Curves made from a run's files: a viewer is told how the run ended, and nothing that is not known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hqgnet.errors import OutputError
from server.tracking.base import Outcome
from server.tracking.choice import Choice
from server.tracking.replay import replay
from tests.report_samples import write_run


class Recorder:
    """Keeps which steps it is given and how it is closed; fails at a step if it is told to."""

    def __init__(self, fails_at: int = 0) -> None:
        self.steps: list[int] = []
        self.closed: list[Outcome | None] = []
        self._fails_at = fails_at

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if step == self._fails_at:
            raise OSError(28, "No space left on device")
        self.steps.append(step)

    def close(self, outcome: Outcome | None) -> None:
        self.closed.append(outcome)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("completed", "completed"), ("failed", "failed"), ("stopped", "stopped"), ("running", None)],
)
def test_a_tracker_is_told_how_the_run_ended(
    state: str, outcome: Outcome | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(Choice, "open", lambda self, run: recorder)
    assert replay(write_run(tmp_path / "trial", state=state, until=3), [Choice("tensorboard")]) == 3
    assert (recorder.steps, recorder.closed) == ([1, 2, 3], [outcome])


def test_a_run_without_a_status_is_not_known_to_be_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(Choice, "open", lambda self, run: recorder)
    run = write_run(tmp_path / "trial", until=3)
    (run / "status.json").unlink()
    replay(run, [Choice("tensorboard")])
    assert recorder.closed == [None]


def test_a_tracker_that_fails_is_closed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(fails_at=2)
    monkeypatch.setattr(Choice, "open", lambda self, run: recorder)
    with pytest.raises(OutputError, match=r"does not take the curves \(OSError: .*No space left"):
        replay(write_run(tmp_path / "trial", until=3), [Choice("tensorboard")])
    assert (recorder.steps, recorder.closed) == ([1], ["completed"])
