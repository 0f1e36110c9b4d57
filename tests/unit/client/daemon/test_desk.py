"""Which code runs, which message has its turn, and what a site answers when something is in the way."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from client.approvals import Approvals
from client.daemon import desk as desk_module
from client.daemon.desk import Desk
from client.daemon.status import StatusFile, read_status
from client.daemon.workplace import Workplace
from client.message import Answered, Asked
from hqgnet.child import Log
from hqgnet.config import Experiment
from hqgnet.exchange.audit import verify
from hqgnet.exchange.update import QueryRequest, SiteError, TrainRequest
from tests.train_requests import train_request

MakeBundle = Callable[[Mapping[str, str]], bytes]
WaitFor = Callable[[Callable[[], bool], float], None]
# Answers with a code of its own, and says whose code it is.
REPORTS = """
from pathlib import Path
from client.message import Answered
from hqgnet.exchange.update import SiteError
def act(asked, file):
    with (Path(file).parent / "ran").open("a") as stream:
        stream.write(f"{__file__} {asked.kind}\\n")
    return Answered(code=SiteError.DIVERGED)
"""
SLOW = """
import time
from pathlib import Path
from client.message import Answered
from hqgnet.exchange.update import SiteError
def act(asked, file):
    (Path(file).parent / "began").touch()
    time.sleep(3)
    return Answered(code=SiteError.DIVERGED)
"""


class Bench:
    """A desk with its parts."""

    def __init__(self, file: Path, work: Path, idle_s: float = 60.0) -> None:
        self.file, self.work = file, work
        self.workplace = Workplace(file, work, Log(work / "worker.log"))
        self.desk = Desk(file, work, self.workplace, StatusFile(work), idle_s)
        self.desk.start()

    def ask(self, bundle: bytes, text: str, kind: str = "query", gone: bool = False) -> Answered:
        return self.desk.answer(Asked(kind, text), bundle, lambda: gone)  # type: ignore[arg-type]


@pytest.fixture
def bench(own_site: Path, work: Path) -> Iterator[Bench]:
    made = Bench(own_site, work)
    yield made
    made.desk.end()


def finish(experiment: Experiment) -> str:
    return QueryRequest(run="run-1", kind="finish", experiment=experiment.to_json()).to_json()


def train(experiment: Experiment, deadline_s: float) -> str:
    return train_request(experiment, round=3, global_round=3, deadline_s=deadline_s).to_json()


def test_nothing_of_unapproved_code_is_executed(
    bench: Bench, make_bundle: MakeBundle, card_query: str
) -> None:
    marker = bench.work.parent / "executed"
    touch = f"open({str(marker)!r}, 'w').close()\n"
    everywhere = dict.fromkeys(("client/__init__.py", "client/worker.py", "hqgnet/__init__.py"), touch)
    bundle = make_bundle({**everywhere, "client/actions.py": touch, "sitecustomize.py": touch})
    assert bench.ask(bundle, card_query).code is SiteError.CODE_NOT_APPROVED
    assert not marker.exists()
    assert not (bench.work / "code").exists()
    assert Approvals(bench.work).pending() == [hashlib.sha256(bundle).hexdigest()]
    assert "code-not-approved" in (bench.work / "audit.jsonl").read_text()


def test_what_is_no_bundle_is_refused(bench: Bench, card_query: str) -> None:
    log = bench.work / "audit.jsonl"
    for number, rubbish in enumerate((b"", b"not a zip"), 1):
        answered = bench.ask(rubbish, card_query)
        assert answered.code is SiteError.CODE_NOT_APPROVED
        # It cannot be kept, and stands in the log all the same.
        assert verify(log).entries == number and answered.audit_head == verify(log).head
        entry = json.loads(log.read_text().splitlines()[-1])
        assert (entry["event"], entry["facts"]) == (
            "refused",
            {
                "code": "code-not-approved",
                "kind": "query",
                "bundle": hashlib.sha256(rubbish).hexdigest(),
            },
        )
    assert Approvals(bench.work).pending() == []


def test_what_cannot_be_audited_is_not_kept(bench: Bench, make_bundle: MakeBundle, card_query: str) -> None:
    (bench.work / "audit.jsonl").mkdir()
    answered = bench.ask(make_bundle({}), card_query)
    assert answered == Answered(code=SiteError.CODE_NOT_APPROVED)
    assert Approvals(bench.work).pending() == []


def test_the_approved_code_is_the_code_that_runs(
    bench: Bench, make_bundle: MakeBundle, card_query: str
) -> None:
    bundle = make_bundle({"client/actions.py": REPORTS})
    Approvals(bench.work).approve(bundle, "somebody")
    assert bench.ask(bundle, card_query).code is SiteError.DIVERGED
    sha256 = hashlib.sha256(bundle).hexdigest()
    ran = (bench.file.parent / "ran").read_text()
    assert ran == f"{bench.work / 'code' / sha256 / 'client' / 'actions.py'} query\n"

    other = make_bundle({"client/actions.py": f"# another\n{REPORTS}"})
    assert bench.ask(other, card_query).code is SiteError.CODE_NOT_APPROVED
    Approvals(bench.work).approve(other, "somebody")
    assert bench.ask(other, card_query).code is SiteError.DIVERGED
    assert hashlib.sha256(other).hexdigest() in (bench.file.parent / "ran").read_text().splitlines()[1]

    Approvals(bench.work).revoke(sha256, "somebody")
    assert bench.ask(bundle, card_query).code is SiteError.CODE_NOT_APPROVED


def test_what_code_did_whose_approval_was_withdrawn_meanwhile_does_not_leave(
    bench: Bench, make_bundle: MakeBundle, card_query: str, wait_for: WaitFor
) -> None:
    bundle = make_bundle({"client/actions.py": SLOW})
    Approvals(bench.work).approve(bundle, "somebody")
    answers: list[Answered] = []
    asking = threading.Thread(target=lambda: answers.append(bench.ask(bundle, card_query)))
    asking.start()
    wait_for((bench.file.parent / "began").exists, 20)
    Approvals(bench.work).revoke(hashlib.sha256(bundle).hexdigest(), "somebody")
    asking.join(20)
    assert answers[0].code is SiteError.CODE_NOT_APPROVED
    assert answers[0].audit_head == verify(bench.work / "audit.jsonl").head
    assert bench.workplace.busy_with is None


def test_a_worker_is_kept_for_the_next_message_and_ends_with_the_run(
    bench: Bench, make_bundle: MakeBundle, card_query: str, tiny_experiment: Experiment
) -> None:
    bundle = make_bundle({"client/actions.py": REPORTS})
    Approvals(bench.work).approve(bundle, "somebody")
    bench.ask(bundle, card_query)
    assert bench.workplace._worker is not None
    first = bench.workplace._worker.process_id
    bench.ask(bundle, card_query)
    assert bench.workplace._worker.process_id == first
    bench.ask(bundle, finish(tiny_experiment))
    assert bench.workplace.busy_with is None


def test_an_idle_worker_ends(
    own_site: Path, work: Path, make_bundle: MakeBundle, card_query: str, wait_for: WaitFor
) -> None:
    bench = Bench(own_site, work, idle_s=0.3)
    bundle = make_bundle({"client/actions.py": REPORTS})
    Approvals(work).approve(bundle, "somebody")
    bench.ask(bundle, card_query)
    wait_for(lambda: bench.workplace.busy_with is None, 10)
    bench.desk.end()


def test_a_message_that_waited_too_long_or_was_given_up_is_not_worked_on(
    bench: Bench, make_bundle: MakeBundle, card_query: str, tiny_experiment: Experiment, wait_for: WaitFor
) -> None:
    bundle = make_bundle({"client/actions.py": SLOW})
    Approvals(bench.work).approve(bundle, "somebody")
    answers: dict[str, Answered] = {}

    def ask(name: str, text: str, kind: str, gone: bool = False) -> None:
        answers[name] = bench.ask(bundle, text, kind, gone)

    calls = [
        ("first", card_query, "query"),
        ("late", train(tiny_experiment, 0.5), "train"),
        ("gone", card_query, "query", True),
    ]
    threads = [threading.Thread(target=ask, args=call) for call in calls]
    threads[0].start()
    wait_for((bench.file.parent / "began").exists, 20)
    (bench.file.parent / "began").unlink()
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers["first"].code is SiteError.DIVERGED
    assert answers["late"].code is answers["gone"].code is SiteError.OVERDUE
    assert not (bench.file.parent / "began").exists()


def test_an_overdue_worker_is_a_code_and_the_site_is_free_again(
    bench: Bench, make_bundle: MakeBundle, card_query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = make_bundle({"client/actions.py": SLOW}), make_bundle({"client/actions.py": REPORTS})
    for bundle in (slow, quick):
        Approvals(bench.work).approve(bundle, "somebody")
    bench.file.write_text(bench.file.read_text() + "\npolicy: {minutes_per_round: 0.02}\n")
    begun = time.monotonic()
    assert bench.ask(slow, card_query).code is SiteError.OVERDUE
    assert time.monotonic() - begun < 10
    assert bench.ask(quick, card_query).code is SiteError.DIVERGED


def test_a_round_has_the_sooner_of_both_deadlines_and_a_margin(
    bench: Bench, tiny_experiment: Experiment
) -> None:
    bench.file.write_text(bench.file.read_text() + "\npolicy: {minutes_per_round: 10}\n")
    limited, limit_s = bench.desk._limited(Asked("train", train(tiny_experiment, 100.0)), waited_s=10.0)
    assert TrainRequest.model_validate_json(str(limited.text)).deadline_s == 90.0
    assert limit_s == 90.0 + 30.0
    limited, limit_s = bench.desk._limited(Asked("train", train(tiny_experiment, 9000.0)), waited_s=10.0)
    assert TrainRequest.model_validate_json(str(limited.text)).deadline_s == 600.0
    assert limit_s == 600.0 * 1.2


def test_the_end_cuts_off_what_is_being_done(
    own_site: Path, work: Path, make_bundle: MakeBundle, card_query: str, wait_for: WaitFor
) -> None:
    bench = Bench(own_site, work)
    bundle = make_bundle({"client/actions.py": SLOW.replace("sleep(3)", "sleep(600)")})
    Approvals(work).approve(bundle, "somebody")
    answers: list[Answered] = []
    asking = threading.Thread(target=lambda: answers.append(bench.ask(bundle, card_query)))
    asking.start()
    wait_for((own_site.parent / "began").exists, 20)
    bench.desk.end()
    asking.join(5)
    assert answers[0].code is SiteError.WORKER_ENDED


def test_the_status_tells_the_last_message(
    bench: Bench, make_bundle: MakeBundle, tiny_experiment: Experiment
) -> None:
    bundle = make_bundle({"client/actions.py": REPORTS})
    bench.ask(bundle, train(tiny_experiment, 60.0), "train")
    facts = read_status(bench.work)
    assert facts["code"] == hashlib.sha256(bundle).hexdigest()
    assert (facts["last_message"]["phase"], facts["last_message"]["round"]) == ("enhance", 3)
    assert facts["last_answer"]["told"] == "refused (code-not-approved)"
    assert facts["running"] is False  # no daemon holds the site


def test_a_fault_of_the_daemon_is_a_code(
    bench: Bench, make_bundle: MakeBundle, card_query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("/secret")

    monkeypatch.setattr(desk_module, "Approvals", fail)
    assert bench.ask(make_bundle({}), card_query).code is SiteError.INTERNAL
