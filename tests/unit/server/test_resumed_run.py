"""A run that is killed and gone on with, at every point, ends as if it had never been stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import server.evaluation
import server.rounds
from client.site import forget_sites
from hqgnet.config import Experiment
from server.best import BestModel
from server.global_model import GlobalModel
from server.roster import Roster
from server.round import Attempt
from server.run_directory import RunDirectory

MODELS = ("pretrain", "enhance", "cooperate", "best")
# Lives of the ServerApp: whom it dies in, in which call of this life, before it or after.
LIVES: list[tuple[Any, str, int, str]] = [
    (Attempt, "run", 1, "after"),  # the sites trained, and nothing of it was kept
    (server.rounds, "save_state", 2, "before"),  # the round's row was written
    (server.rounds, "save_state", 1, "after"),  # between rounds
    (GlobalModel, "save", 1, "before"),  # the last round of a phase counted
    (GlobalModel, "save", 1, "after"),  # at a phase's border, its model written
    (server.rounds, "save_state", 2, "after"),  # between the checkpoint and the first evaluation
    (BestModel, "consider", 1, "before"),  # judged, the best not yet chosen
    (server.rounds, "save_state", 3, "before"),  # the best was chosen and written
    (RunDirectory, "write_json", 1, "before"),  # of choice.json, on going on
    (BestModel, "consider", 2, "after"),
    (server.evaluation, "ask", 1, "after"),
    (server.rounds, "write_table", 1, "before"),  # the final test is in metrics.jsonl
    (server.rounds, "write_table", 1, "after"),
    (Roster, "finish", 1, "before"),  # all is there, the sites have not been told
    (Roster, "finish", 1, "after"),
]
# After this one the latest checkpoint is damaged: the best model's file is then a round ahead.
DAMAGED = 7


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours may catch it."""


@pytest.fixture(scope="module")
def experiment(quick_experiment: Experiment, shorten: Callable[..., Experiment]) -> Experiment:
    """Every round is judged, and what is published is an average."""
    federation = quick_experiment.federation.model_copy(update={"server_average": 0.5})
    evaluation = quick_experiment.evaluation.model_copy(update={"every": 1})
    changed = quick_experiment.model_copy(update={"federation": federation, "evaluation": evaluation})
    return shorten(changed, pretrain=2, enhance=1, cooperate=2)


@pytest.fixture(scope="module")
def unbroken(federate: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path]) -> Any:
    return federate(experiment, tiny_site_files)


def live(run: Any, owner: Any, name: str, nth: int, when: str, *, resume: bool) -> bool:
    """Start or go on; return whether the run was killed."""
    original, calls = getattr(owner, name), []

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) == nth and when == "before":
            raise Killed
        result = original(*arguments, **options)
        if len(calls) == nth:
            raise Killed
        return result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, dying)
        try:
            run.start(resume=resume)
        except Killed:
            return True
    return False


def damage(directory: RunDirectory) -> None:
    """A flipped bit in the latest checkpoint, whose round has then to be repeated, and torn last lines."""
    data = directory.state.read_bytes()
    directory.state.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for name in ("rounds.jsonl", "metrics.jsonl", "audit.jsonl"):
        with (directory.root / name).open("a") as stream:
            stream.write('{"phase": "coop')


def same_results(first: Any, second: Any) -> None:
    for name in MODELS:
        ours, theirs = first.model(name), second.model(name)
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert torch.equal(value, theirs[key]), f"{name}: {key}"
    assert first.rows("metrics.jsonl") == second.rows("metrics.jsonl")
    for name in ("table.json", "choice.json"):
        assert (first.directory.root / name).read_bytes() == (second.directory.root / name).read_bytes()
    assert timeless(first.rows("rounds.jsonl")) == timeless(second.rows("rounds.jsonl"))


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name != "seconds"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def test_killed_at_every_point(
    unbroken: Any, assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    run = assemble(experiment, tiny_site_files)
    for number, (owner, name, nth, when) in enumerate(LIVES):
        assert live(run, owner, name, nth, when, resume=number > 0), (number, name)
        if number == 4:
            forget_sites()  # the hospitals' processes were restarted as well
        if number == DAMAGED:
            damage(run.directory)
    run.start(resume=True)
    same_results(unbroken, run)
    assert run.audited("recovered")
    assert {entry.name for file in run.files for entry in (file.parent / "work" / run.run_id).iterdir()} == {
        "pictures"
    }
    published = {facts["file"]: facts["sha256"] for facts in run.audited("model-published")}
    for name in MODELS:
        file = run.directory.models / f"{name}.safetensors"
        assert published[file.name] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_run_without_a_checkpoint_begins_afresh(
    assemble: Callable[..., Any],
    shorten: Callable[..., Experiment],
    quick_experiment: Experiment,
    tiny_site_files: list[Path],
) -> None:
    run = assemble(shorten(quick_experiment, pretrain=1), tiny_site_files[:1])
    assert live(run, server.rounds, "save_state", 1, "before", resume=False)
    (run.directory.models / "pretrain.safetensors").write_bytes(b"of another time line")
    run.start(resume=True)
    [row] = run.rows("rounds.jsonl")
    assert row["counted"] and run.model("pretrain")
    assert json.loads((run.directory.root / "choice.json").read_text())["reason"] == "only pretrained"
