"""Trackers as they are named on a command line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from hqgnet.errors import ConfigurationError
from server.launch.request import RunRequest, settings_of
from server.run_directory import RunDirectory
from server.tracking import choice
from server.tracking.choice import Choice, choose, read_setting, track_setting


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read from a command line does not hang on what is installed here."""
    monkeypatch.setattr(choice, "find_spec", lambda name: object())


def test_names_go_through_the_run_configuration_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ["tensorboard", "tensorboard:a,b", "mlflow:http://127.0.0.1:5000"]
    wanted = (
        Choice("tensorboard"),
        Choice("tensorboard", str(tmp_path / "a,b")),
        Choice("mlflow", "http://127.0.0.1:5000"),
    )
    assert choose(named) == wanted
    assert read_setting(track_setting(named)["track"]) == wanted
    assert read_setting("mlflow:http://127.0.0.1:5000") == wanted[2:]
    assert (track_setting([]), read_setting("")) == ({}, ())


def test_a_run_that_goes_on_is_tracked_as_before(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    (tmp_path / "experiment.json").write_text("{}")
    settings = settings_of(RunRequest(resume="run", track=("tensorboard",)), directory, again=True)
    assert settings["track"] == '["tensorboard"]' and settings["resume"]


def test_all_mistakes_are_told_at_once() -> None:
    named = ["wandb", "mlflow", "mlflow:https://me:secret@host", "tensorboard", "tensorboard"]
    with pytest.raises(ConfigurationError) as caught:
        choose(named)
    told = [problem.what for problem in caught.value.problems]
    assert told == [
        "'wandb' is unknown",
        "mlflow is named without an address",
        "the address of mlflow holds a password",
        "tensorboard is named twice",
    ]
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"'\[broken' is unknown"):
        read_setting("[broken")


def test_a_tracker_that_is_not_installed_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: importlib.util.find_spec(f"no_such_{name}"))
    with pytest.raises(ConfigurationError, match=r"pip install -c constraints.txt '\.\[tracking\]'"):
        choose(["tensorboard"])
    with pytest.raises(ConfigurationError, match=r"mlflow is not installed.*'\.\[mlflow\]'"):
        choose(["mlflow:http://127.0.0.1:5000"])
