"""Bad nights at the hospitals: killed processes, slow and malicious sites, a full disk."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.consortium import Consortium, pids, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def started(consortium_factory: Callable[..., Consortium]) -> Consortium:
    """A server and three hospitals, none of them up yet."""
    consortium = consortium_factory()
    consortium.start_server()
    for name in consortium.names:
        consortium.complete_kit(name)
        consortium.approve(name)
    return consortium


def failures(consortium: Consortium, run: str) -> dict[int, dict[str, str]]:
    """Who failed, by round of all phases, over all attempts."""
    found: dict[int, dict[str, str]] = {}
    for row in consortium.rounds(run):
        found.setdefault(row["global_round"], {}).update(row["failed"])
    return found


def test_killed_sites_come_back(
    started: Consortium, experiment_factory: Callable[..., Path], tmp_path: Path
) -> None:
    """Site 1 is killed in training. Site 2 is killed in the write of its private state, and all of it between
    rounds. Site 3's SuperNode is killed.
    """
    run = "killed"
    training, writing = tmp_path / "training", tmp_path / "writing"
    started.start_site("site-1", [{"fault": "kill-in-training", "once": str(training)}])
    in_write = {"fault": "kill-in-write", "name": "state/pretrain-00000002", "once": str(writing)}
    started.start_site("site-2", [in_write])
    started.start_site("site-3")
    experiment = experiment_factory(run, {"round_deadline_s": 60}, pretrain=3, enhance=7)
    running = started.run(experiment)

    started.wait_for_round(run, 3)
    started.daemons["site-2"].kill()
    wait_until(lambda: not pids(str(started.kits / "site-2")), 20, "the end of all of site 2's processes")
    started.start_site("site-2")

    started.wait_for_round(run, 4)
    supernodes = pids("flower-supernode", str(started.kits / "site-3"))
    assert supernodes
    for supernode in supernodes:
        os.kill(supernode, signal.SIGKILL)

    assert running.wait(400) == 0, running.text
    started.check_result(run, rounds=10)
    assert training.exists() and writing.exists()
    named = failures(started, run)
    assert named[1] == {"site-1": "site-worker-ended"}
    assert named[2] == {"site-2": "site-worker-ended"}
    taken = {row["global_round"]: set(row["sites"]) for row in started.counted(run)}
    assert all(len(sites) >= 2 for sites in taken.values())
    assert {"site-1", "site-2"} <= taken[3]
    assert taken[10] == {"site-1", "site-2", "site-3"}


def test_rubbish_is_left_out_and_named(started: Consortium, experiment_factory: Callable[..., Path]) -> None:
    """Site 3 sends NaN, another schema, a hundredfold update, and one past the deadline; then behaves."""
    run = "rubbish"
    ways = {"enhance-2": "nan", "enhance-3": "schema", "enhance-4": "hundredfold", "enhance-5": "slow"}
    for name in ("site-1", "site-2", "site-3"):
        if name in started.daemons:
            started.daemons[name].terminate()
    started.start_site("site-1")
    started.start_site("site-2")
    started.start_site("site-3", [{"fault": "send-rubbish", "rounds": ways, "seconds": 35}])
    running = started.run(experiment_factory(run, {"round_deadline_s": 25}, enhance=7))
    assert running.wait(400) == 0, running.text
    started.check_result(run, rounds=7)
    assert failures(started, run) == {
        1: {},
        2: {"site-3": "array-not-finite"},
        3: {"site-3": "array-shape"},
        4: {"site-3": "norm-outlier"},
        5: {"site-3": "no-reply"},
        6: failures(started, run)[6],
        7: {},
    }
    last = started.rounds(run)[-1]
    assert set(last["sites"]) == {"site-1", "site-2", "site-3"}


def test_a_full_disk_at_a_site(started: Consortium, experiment_factory: Callable[..., Path]) -> None:
    """Once site 2 has joined it may write no file above 200 kB: its private state does not fit."""
    run = "full"
    for daemon in started.daemons.values():
        daemon.terminate()
    for name in started.names:
        started.start_site(name)
    running = started.run(experiment_factory(run, enhance=4))
    wait_until(lambda: len(started.events(run, "site")) == 3, 200, "all sites' joining")
    for process in pids(str(started.kits / "site-2")):
        resource.prlimit(process, resource.RLIMIT_FSIZE, (200_000, 200_000))
    assert running.wait(300) == 0, running.text
    started.check_result(run, rounds=4)
    named = failures(started, run)
    assert named[3] == named[4] == {"site-2": "site-disk"}
