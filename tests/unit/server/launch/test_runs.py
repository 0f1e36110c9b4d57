"""A run's life as ``hqgnet-server run`` sees it: real processes play ServerApps, an object the SuperLink."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, OutputError, QuorumError, RunFailedError, ServerDownError
from server.display import PlainDisplay
from server.federation import Federation
from server.launch import runs
from server.launch.bundle import Bundle
from server.launch.glance import is_alive, latest_runs, look_at
from server.launch.patience import Patience
from server.launch.request import RunRequest, directory_of, settings_of
from server.launch.runs import RunLauncher
from server.launch.stopping import stop
from server.progress import read_status
from server.run_directory import RunDirectory
from tests.unit.server.launch.stand_in import StandIn


@pytest.fixture
def experiment(tmp_path: Path, tiny_experiment: Experiment) -> Path:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(json.loads(tiny_experiment.to_json()) | {"name": "trial"}))
    stored = json.loads(tiny_experiment.to_json()) | {"name": "trial"}
    (tmp_path / "stored.json").write_text(json.dumps(stored))
    return file


class Trial:
    """Launches runs and keeps what they say."""

    def __init__(self, federation: Federation, experiment: Path) -> None:
        self.federation = federation
        self.experiment = experiment
        self.lines: list[str] = []
        self.directory = RunDirectory(federation.runs / "trial")

    def control(self, *ends: str) -> StandIn:
        return StandIn(self.federation, self.experiment.with_name("stored.json"), *ends)

    def run(self, control: StandIn, **request: Any) -> None:
        if not {"resume", "attach"} & set(request):
            request["experiment"] = self.experiment
        launcher = RunLauncher(self.federation, RunRequest(**request), self.lines.append, control)
        launcher.run(lambda: PlainDisplay(sys.stdout))


@pytest.fixture
def trial(federation: Federation, experiment: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    for name in ("_GRACE_S", "_ASK_S", "_POLL_S"):
        monkeypatch.setattr(runs, name, 0.05)
    # Building it is tested where it belongs, and takes seconds.
    monkeypatch.setattr(runs, "make_app", lambda folder: None)
    monkeypatch.setattr(runs, "build_bundle", lambda app, home: Bundle(b"", ()))
    return Trial(federation, experiment)


def test_a_good_run_is_shown_and_ends_well(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    control = trial.control("good")
    trial.run(control, seed=9)
    assert "waiting for 1 sites" in capsys.readouterr().out
    assert control.submitted == [
        {
            "experiment": str(trial.experiment),
            "run-dir": str(trial.directory.root),
            "seed": 9,
            "overwrite": True,
        }
    ]
    with pytest.raises(OutputError, match="holds a run already"):
        trial.run(control)
    trial.run(control, resume="trial")
    assert trial.lines[-1] == "trial is completed: nothing to do" and len(control.submitted) == 1


def test_one_that_dies_is_brought_back_from_where_it_was(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    control = trial.control("die", "die", "good")
    trial.run(control)
    first, *others = control.submitted
    stored = str(trial.directory.root / "experiment.json")
    again = {"experiment": stored, "run-dir": str(trial.directory.root), "resume": True}
    assert "resume" not in first and others == [again, again]
    assert [line for line in trial.lines if "died" in line] == [
        f"the run's process died: going on from its last round (restart {number})" for number in (1, 2)
    ]
    shown = capsys.readouterr().out
    assert [shown.count(f"waiting for {number} sites") for number in (1, 2, 3)] == [1, 1, 1]


def test_one_that_dies_too_often_is_given_up(trial: Trial) -> None:
    with pytest.raises(RunFailedError, match="died more than 1 times"):
        trial.run(trial.control("die", "die"), restarts=1)
    assert read_status(trial.directory)[:2] == ("failed", 20)


def test_one_that_never_begins_is_submitted_again(trial: Trial) -> None:
    control = trial.control("never", "good")
    trial.run(control)
    assert [settings.get("overwrite") for settings in control.submitted] == [True, True]


def test_a_failure_keeps_its_kind(trial: Trial) -> None:
    with pytest.raises(QuorumError, match="too few sites"):
        trial.run(trial.control("quorum"))


def test_a_superlink_that_is_away_is_waited_for(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.launch.patience._FIRST_PAUSE_S", 0.01)
    control = trial.control("good")
    control.away = 3
    trial.run(control)
    assert trial.lines[0] == "the SuperLink does not answer: waiting for it, 600 s at most"
    away = trial.control("good")
    away.away = 10**9
    with pytest.raises(ServerDownError):
        Patience(0.05, trial.lines.append).ask(away._answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_stopped_and_can_be_gone_on_with(trial: Trial, number: signal.Signals) -> None:
    control = trial.control("long", "good")

    def interrupt() -> None:
        while read_status(trial.directory)[0] != "running":
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        trial.run(control)
    thread.join()
    assert control.stopped == [1]
    state, code, [problem] = read_status(trial.directory)
    assert (state, code) == ("failed", 130) and problem.remedy.endswith("--resume trial")
    trial.run(control, resume="trial")
    assert control.submitted[1]["resume"] is True


def test_one_that_is_stopped_elsewhere_is_not_brought_back(trial: Trial) -> None:
    control = trial.control("long")

    def end() -> None:
        while read_status(trial.directory)[0] != "running":
            time.sleep(0.01)
        control.stop(1)

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        trial.run(control)
    thread.join()
    assert len(control.submitted) == 1


def test_a_detached_run_is_followed_later_and_no_second_one_is_taken(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = trial.control("long")
    trial.run(control, detach=True)
    assert trial.lines[-1].endswith("run --federation FEDERATION.yaml --attach trial")
    while read_status(trial.directory)[0] != "running":
        time.sleep(0.01)
    with pytest.raises(ConfigurationError, match="trial: is running"):
        trial.run(control, resume="trial")
    with pytest.raises(ConfigurationError, match="another run is going on"):
        trial.run(control, name="other")
    assert not (trial.federation.runs / "other").exists()
    assert look_at(trial.directory).flower_run == 1
    monkeypatch.setattr("server.launch.stopping.FlowerControl", lambda federation: control)
    follower = threading.Timer(0.5, lambda: stop(trial.federation, None))
    follower.start()
    with pytest.raises(KeyboardInterrupt):
        trial.run(control, attach="trial")
    follower.join()
    assert control.stopped == [1]
    with pytest.raises(ConfigurationError, match="no run that is going on"):
        stop(trial.federation, "trial")


def test_a_dead_process_or_another_program_is_no_serverapp() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    named = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "flwr-serverapp"])
    time.sleep(0.2)
    assert not is_alive(None) and not is_alive(other.pid) and is_alive(named.pid)
    for process in (other, named):
        process.kill()
    # Not waited for yet: a zombie.
    time.sleep(0.2)
    assert not is_alive(named.pid)
    for process in (other, named):
        process.wait()


def test_names_that_are_paths_are_refused(federation: Federation, experiment: Path) -> None:
    for name in ("../elsewhere", "/tmp/x", "a/b", ".hidden", "", "x" * 300):
        with pytest.raises(ConfigurationError, match="is no name") as refused:
            directory_of(federation, RunRequest(experiment, name=name))
        assert len(str(refused.value)) < 200
    with pytest.raises(ConfigurationError, match="is no name"):
        directory_of(federation, RunRequest(resume=""))
    assert directory_of(federation, RunRequest(experiment)).root == federation.runs / "trial"
    with pytest.raises(ConfigurationError, match="holds no run"):
        directory_of(federation, RunRequest(resume="nothing"))
    with pytest.raises(ConfigurationError, match="no experiment is given"):
        directory_of(federation, RunRequest())


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (RunRequest(resume="trial", overwrite=True), "--overwrite"),
        (RunRequest(resume="trial", name="other"), "--name"),
        (RunRequest(resume="trial", seed=7), "--seed"),
        (RunRequest(Path("e.yaml"), seed=7, attach="trial"), "--seed, EXPERIMENT.yaml"),
        (RunRequest(attach="trial", detach=True, track=("tensorboard",)), "--detach, --track"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    federation: Federation, request_: RunRequest, named: str
) -> None:
    directory = RunDirectory(federation.runs / "trial")
    directory.prepare(overwrite=False)
    directory.write_json("status.json", {"state": "failed", "exit_code": 20, "problems": []})
    with pytest.raises(ConfigurationError, match=f"and {named} would change nothing"):
        directory_of(federation, request_)
    directory_of(federation, RunRequest(Path("e.yaml"), seed=7, resume="trial", track=("tensorboard",)))


def test_a_run_goes_on_with_its_own_experiment_only(trial: Trial) -> None:
    trial.directory.prepare(overwrite=False)
    stored = json.loads(trial.experiment.with_name("stored.json").read_text()) | {"seed": 77}
    trial.directory.write_json("experiment.json", stored)
    settings_of(RunRequest(trial.experiment), trial.directory, again=True)
    settings_of(RunRequest(trial.experiment, seed=77), trial.directory, again=True)
    with pytest.raises(ConfigurationError, match="differs from the run's experiment in seed"):
        settings_of(RunRequest(trial.experiment, seed=78), trial.directory, again=True)
    trial.experiment.write_text(yaml.safe_dump(stored | {"seed": 1, "image_size": 96}))
    with pytest.raises(ConfigurationError, match="in image_size"):
        settings_of(RunRequest(trial.experiment), trial.directory, again=True)
    (trial.directory.root / "experiment.json").unlink()
    with pytest.raises(ConfigurationError, match="ended before it began"):
        settings_of(RunRequest(resume="trial"), trial.directory, again=True)


def test_runs_are_listed_by_their_last_word(federation: Federation) -> None:
    for age, name in enumerate(("new", "old")):
        directory = RunDirectory(federation.runs / name)
        directory.prepare(overwrite=False)
        directory.append(
            "progress.jsonl", {"event": "site", "name": "site-1", "lq": 8, "hq": 9, "masks": True}
        )
        directory.append("progress.jsonl", {"event": "phase", "phase": "pretrain", "rounds": 4})
        row = {"event": "round", "phase": "pretrain", "round": 3, "rounds": 4, "seconds": 2.5}
        directory.append("progress.jsonl", row)
        directory.write_json(
            "status.json", {"state": "running", "exit_code": 0, "problems": [], "pid": 2**22 + 1}
        )
        os.utime(directory.status, (time.time() - age * 100,) * 2)
    new, old = latest_runs(federation.runs, 5)
    assert (new.name, old.name) == ("new", "old")
    assert (new.state, new.phase, new.round, new.rounds, new.seconds) == ("died", "pretrain", 3, 4, 2.5)
    assert new.cards == ({"name": "site-1", "lq": 8, "hq": 9, "masks": True},)
