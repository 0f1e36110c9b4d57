"""How a run's events are shown and followed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqgnet.errors import Problem, QuorumError
from server.display import LiveDisplay, PlainDisplay
from server.launch.glance import latest_runs
from server.progress import Follower, Progress, read_status
from server.resuming import reopen
from server.run_directory import RunDirectory

ROUND: dict[str, Any] = {
    "event": "round",
    "phase": "enhance",
    "round": 3,
    "rounds": 20,
    "attempt": 0,
    "losses": {"enhancement": 1.25, "haar": 0.01234},
    "seconds": 2.04,
    "failed": {},
    "sites": ["a", "b"],
}
EVALUATION: dict[str, Any] = {
    "event": "evaluation",
    "phase": "enhance",
    "round": 3,
    "split": "validation",
    "mean": {"psnr_original": 16.3, "psnr_enhanced": 19.25, "dice_original": None, "dice_enhanced": None},
    "failed": {"b": "no-reply"},
    "seconds": 1.0,
}


def test_plain_lines() -> None:
    stream = io.StringIO()
    with PlainDisplay(stream) as display:
        display.show({"event": "phase", "phase": "enhance", "rounds": 20})
        display.show(ROUND)
        display.show(ROUND | {"attempt": 1, "failed": {"b": "array-shape"}, "sites": ["a"]})
        display.show(EVALUATION)
    assert stream.getvalue().splitlines() == [
        "enhance      3/20  enhancement 1.2500  haar 0.0123  2 sites  2.0 s",
        "enhance      3/20 (attempt 2)  enhancement 1.2500  haar 0.0123  1 sites  2.0 s  b: array-shape",
        "enhance      3  validation: PSNR 16.300 -> 19.250  b: no-reply",
    ]


def test_a_live_display_takes_the_same_events(capsys: Any) -> None:
    display = LiveDisplay()
    output = io.StringIO()
    display._progress.live.console = Console(file=output, force_terminal=True, width=120)
    with display:
        for event in ({"event": "phase", "phase": "enhance", "rounds": 20}, ROUND, EVALUATION):
            display.show(event)
    shown = output.getvalue()
    assert "3/20" in shown and "enhancement 1.250  2 sites" in shown and "PSNR 16.300 -> 19.250" in shown
    assert "[bold]" not in shown


def test_a_follower_reads_whole_lines_once(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    follower = Follower(directory.progress)
    assert list(follower.new_events()) == []
    progress = Progress(directory)
    progress.say("waiting", sites=2)
    with directory.progress.open("a") as stream:
        stream.write('{"event":"ro')
    assert [event["event"] for event in follower.new_events()] == ["waiting"]
    with directory.progress.open("a") as stream:
        stream.write('und"}\n')
    assert [event["event"] for event in follower.new_events()] == ["round"]
    assert list(follower.new_events()) == []


def test_a_line_that_a_full_disk_cut_off_hides_no_later_event(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    progress = Progress(directory)
    progress.say("waiting", sites=2)
    with directory.progress.open("a") as stream:
        stream.write('{"event":"ro')
    progress.say("lost", why="it follows on the line that was cut off")
    progress.say("finished")
    assert [event["event"] for event in Follower(directory.progress).new_events()] == ["waiting", "finished"]


def test_a_run_that_goes_on_has_no_event_that_was_cut_off(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(overwrite=False)
    progress = Progress(directory)
    progress.say("waiting", sites=2)
    with directory.progress.open("a") as stream:
        stream.write('{"event":"ro')
    reopen(directory)
    progress.say("resumed")
    lines = directory.progress.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["waiting", "resumed"]


@pytest.mark.parametrize(
    "text", ["", '{"state": "ru', "[]", "{}", '{"state": 1, "exit_code": [], "problems": 2}']
)
def test_a_damaged_status_is_a_failed_run_s(text: str, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "runs" / "broken")
    directory.prepare(overwrite=False)
    directory.status.write_text(text)
    state, code, [problem] = read_status(directory)
    assert (state, code, problem.what) == ("failed", 20, "cannot be read")
    [shown] = latest_runs(tmp_path / "runs", 5)
    assert (shown.state, shown.reason, shown.flower_run) == ("failed", "cannot be read", None)


def test_a_failure_is_kept_with_its_code(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert read_status(directory)[0] == "absent"
    problem = Problem("federation", "too few", "Start more")
    Progress(directory).status("failed", QuorumError(problem))
    assert read_status(directory) == ("failed", 21, [problem])
