"""The worker process for real: the same answers as in-process; and what if it hangs or is killed."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from client.actions import act
from client.daemon.workplace import OverdueError, WorkerEndedError, Workplace
from client.message import Answered, Asked
from client.site import forget_sites
from hqgnet.child import Log
from hqgnet.config import Experiment
from hqgnet.exchange.arrays import to_arrays
from hqgnet.exchange.groups import shared_keys
from hqgnet.exchange.update import QueryReply, UpdateHeader, read_message
from hqgnet.networks import build_networks
from tests.other_user import open_to_others, usual_umask
from tests.train_requests import train_request

ROOT = Path(__file__).parents[4]
WaitFor = Callable[[Callable[[], bool], float], None]
STUCK = """
import subprocess, time
from pathlib import Path
def act(asked, file):
    helper = subprocess.Popen(["/bin/sleep", "600"])
    written = Path(file).parent / "helper.new"
    written.write_text(str(helper.pid))
    written.rename(written.with_name("helper"))
    time.sleep(600)
"""
QUICK = """
from client.message import Answered
def act(asked, file):
    return Answered("{}")
"""
WRITES = """
from pathlib import Path
from client.message import Answered
def act(asked, file):
    (Path(file).parent / "work/run").mkdir()
    (Path(file).parent / "work/run/picture").touch()
    return Answered("{}")
"""


@pytest.fixture
def workplace(own_site: Path, work: Path) -> Iterator[Workplace]:
    place = Workplace(own_site, work, Log(work / "worker.log"))
    yield place
    place.end()


def code(folder: Path, actions: str) -> Path:
    """Our code with other actions."""
    for package in ("client", "hqgnet"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "client" / "actions.py").write_text(actions)
    return folder


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """Code that never answers, and has started a program of its own."""
    return code(tmp_path / "stuck", STUCK)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def asked_to_train(experiment: Experiment) -> Asked:
    networks = build_networks(experiment.numbers, experiment.channels, seed=0)
    names = shared_keys(networks, "enhance", experiment)
    return Asked("train", train_request(experiment).to_json(), to_arrays(networks.state_dict(), names))


def test_the_worker_answers_as_the_same_code_does_in_process(
    workplace: Workplace, own_site: Path, card_query: str, tiny_experiment: Experiment, tmp_path: Path
) -> None:
    # One thread in both, since the order of sums depends on their number.
    own_site.write_text(own_site.read_text() + "\nthreads: 1\n")
    shutil.copytree(own_site.parent, tmp_path / "twin")
    twin = tmp_path / "twin" / "site.yaml"
    forget_sites()

    query = Asked("query", card_query)
    shown, expected = workplace.ask(ROOT, query, 240), act(query, twin)
    assert shown.header == expected.header
    assert read_message(shown.header, QueryReply).card is not None

    trained, expected = (
        workplace.ask(ROOT, asked_to_train(tiny_experiment), 240),
        act(asked_to_train(tiny_experiment), twin),
    )
    assert trained.arrays is not None and expected.arrays is not None
    assert list(trained.arrays) == list(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(trained.arrays[name], array, strict=True)
    header, other = (read_message(a.header, UpdateHeader) for a in (trained, expected))
    assert header.model_copy(update={"seconds": 0.0}) == other.model_copy(update={"seconds": 0.0})


def test_a_worker_that_is_killed_is_told_and_the_next_message_has_a_new_one(
    workplace: Workplace, stuck: Path, own_site: Path, card_query: str, wait_for: WaitFor, tmp_path: Path
) -> None:
    quick = code(tmp_path / "quick", QUICK)
    helper = own_site.parent / "helper"
    caught: list[Exception] = []
    answers: list[Answered] = []

    def ask() -> None:
        with pytest.raises(WorkerEndedError) as told:
            workplace.ask(stuck, Asked("query", card_query), 60)
        caught.append(told.value)
        # In the same thread: it is the one to which the kernel ties a worker.
        answers.append(workplace.ask(quick, Asked("query", card_query), 60))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(helper.exists, 20)
    assert workplace._worker is not None
    os.kill(workplace._worker.process_id, 9)
    thread.join(60)
    assert not thread.is_alive()
    assert "SIGKILL" in str(caught[0])
    assert answers[0].header == "{}"
    wait_for(lambda: not alive(int(helper.read_text())), 5)


def test_what_a_worker_writes_is_its_users_alone_whatever_daemon_started_it(
    workplace: Workplace, own_site: Path, work: Path, card_query: str, tmp_path: Path
) -> None:
    with usual_umask():
        workplace.ask(code(tmp_path / "writes", WRITES), Asked("query", card_query), 60)
    assert (work / "run/picture").exists() and open_to_others(work / "run") == []


def test_an_overdue_worker_is_killed_with_all_that_it_started(
    workplace: Workplace, stuck: Path, own_site: Path, card_query: str, wait_for: WaitFor
) -> None:
    with pytest.raises(OverdueError):
        workplace.ask(stuck, Asked("query", card_query), 2.0)
    assert workplace.busy_with is None
    helper = int((own_site.parent / "helper").read_text())
    wait_for(lambda: not alive(helper), 5)


def test_a_worker_of_other_code_than_the_approved_is_refused(
    workplace: Workplace, tmp_path: Path, card_query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder without our packages: what Python finds instead is what is installed.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkerEndedError, match="not of the approved code"):
        workplace.ask(tmp_path / "empty", Asked("query", card_query), 10)
    assert workplace.busy_with is None
