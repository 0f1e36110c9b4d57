"""The ServerApp: how a run begins, is gone on with, and ends, as its run directory tells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from flwr.app import Context, Message, RecordDict

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, OutputError, Problem
from hqgnet.exchange.audit import verify
from server.app import main
from server.progress import Progress, read_status
from server.run_directory import RunDirectory

Start = Callable[..., None]


@pytest.fixture
def experiment(quick_experiment: Experiment, shorten: Callable[..., Experiment]) -> Experiment:
    return shorten(quick_experiment, pretrain=1)


def start(grid: Any, root: Path, experiment: Experiment, flower_run: int = 7, **settings: Any) -> None:
    file = root / "experiment.yaml"
    file.write_text(yaml.safe_dump(json.loads(experiment.to_json())))
    config = {"experiment": str(file), "run-dir": str(root / "run"), "seed": -1, **settings}
    main(grid, Context(flower_run, 0, {}, RecordDict(), config))


def audited(directory: RunDirectory) -> list[tuple[str, dict[str, Any]]]:
    verify(directory.audit)
    entries = [json.loads(line) for line in directory.audit.read_text().splitlines()]
    return [(entry["event"], entry["facts"]) for entry in entries]


def test_a_run_tells_how_it_stands_and_a_completed_one_is_left_alone(
    assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    directory, seen = RunDirectory(tmp_path / "run"), []

    def look(request: Message, reply: Message) -> Message:
        seen.append(json.loads(directory.status.read_text()))
        with pytest.raises(OutputError, match="is being run by another process"), directory.held():
            pass
        return reply

    grid = assemble(experiment, tiny_site_files[:1], look).grid
    start(grid, tmp_path, experiment)
    running = {"state": "running", "exit_code": 0, "problems": [], "pid": os.getpid(), "flower_run": 7}
    assert seen and all(status == running for status in seen)
    assert read_status(directory) == ("completed", 0, [])
    assert json.loads(directory.status.read_text())["pid"] is None
    events = audited(directory)
    assert events[0][0] == "run-started" and events[-1] == (
        "run-ended",
        {"run": "run-0000000000000007", "state": "completed", "exit_code": 0},
    )
    assert events[0][1]["experiment"] == experiment.digest()
    assert set(events[0][1]["versions"]) == {"hqgnet", "python", "flwr", "torch", "numpy"}

    asked = len(grid.requests)
    start(grid, tmp_path, experiment, flower_run=8, resume=True)
    assert len(grid.requests) == asked and read_status(directory)[0] == "completed"
    assert len(audited(directory)) == len(events)
    with pytest.raises(OutputError, match="holds a run already"):
        start(grid, tmp_path, experiment)


def test_a_resumed_run_keeps_its_identifier_and_its_experiment(
    assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    directory = RunDirectory(tmp_path / "run")

    def fail(request: Message, reply: Message) -> Message:
        if request.metadata.message_type == "train":
            raise KeyboardInterrupt
        return reply

    federation = assemble(experiment, tiny_site_files[:1], fail)
    with pytest.raises(KeyboardInterrupt):
        start(federation.grid, tmp_path, experiment)
    assert read_status(directory)[0] == "running"

    training = experiment.training.model_copy(update={"learning_rate": 1e-3, "batch_size": 3})
    other = experiment.model_copy(update={"training": training})
    with pytest.raises(ConfigurationError) as caught:
        start(federation.grid, tmp_path, other, resume=True)
    assert {problem.where.split(": ")[1] for problem in caught.value.problems} == {
        "training.learning_rate",
        "training.batch_size",
    }
    assert "began with 0.0001, not 0.001" in str(caught.value)
    assert read_status(directory)[0:2] == ("failed", 10)

    grid = type(federation.grid)(federation.files)
    start(grid, tmp_path, experiment, flower_run=9, resume=True)
    assert read_status(directory)[0] == "completed"
    resumed = [facts for event, facts in audited(directory) if event == "run-resumed"]
    assert [(facts["run"], facts["flower_run"], facts["round"]) for facts in resumed] == [
        ("run-0000000000000007", "9", 0)
    ]
    [file] = federation.files
    folders = [entry.name for entry in (file.parent / "work").iterdir() if entry.is_dir()]
    assert folders == ["run-0000000000000007"]


def test_resuming_what_never_began_begins(
    assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    start(assemble(experiment, tiny_site_files[:1]).grid, tmp_path, experiment, resume=True)
    assert read_status(RunDirectory(tmp_path / "run"))[0] == "completed"


def test_pruning_keeps_what_stands_and_drops_torn_lines(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for number in range(4):
        directory.append("rounds.jsonl", {"global_round": number})
    file = tmp_path / "rounds.jsonl"
    file.write_bytes(file.read_bytes() + b'{"global_round": 1')
    directory.prune("rounds.jsonl", lambda row: row["global_round"] < 2)
    assert file.read_text() == '{"global_round":0}\n{"global_round":1}\n'
    directory.prune("metrics.jsonl", lambda row: True)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_going_on_removes_what_a_kill_left(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.prepare(overwrite=False)
    left = [
        folder / ".0123456789abcdef.tmp" for folder in (tmp_path, directory.models, directory.state.parent)
    ]
    for file in [*left, directory.audit]:
        file.touch()
    directory.write_json("experiment.json", {})
    directory.reopen(afresh=True)
    assert not any(file.exists() for file in left)
    assert directory.audit.exists()


def test_other_folders_are_not_taken_for_runs(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    for act in (lambda d: d.prepare(overwrite=True), lambda d: d.reopen(afresh=True)):
        with pytest.raises(OutputError, match=r"holds thesis.txt and no run"):
            act(RunDirectory(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_failure_is_told_without_a_process(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    problem = Problem("a", "b", "c")
    Progress(directory, 5).status("failed", OutputError(problem))
    assert read_status(directory) == ("failed", 13, [problem])
    assert json.loads(directory.status.read_text())["flower_run"] is None
