"""The courier: Flower's program with foreign code taken out, and no text of an exception on its way."""

from __future__ import annotations

import importlib
import importlib.metadata
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client import courier as courier_module
from client.courier import Courier, replace_steps
from client.daemon.reception import Reception
from client.frames import asked_frame, send_frame
from client.message import Answered, Asked
from hqgnet.exchange.update import SiteError
from server.wire import read_arrays, read_header, read_refusal, write_arrays, write_request

ROOT = Path(__file__).parents[4]
STEPS = {"install_from_fab", "get_load_client_app_fn", "install_app_dependencies"}
WaitFor = Callable[[Callable[[], bool], float], None]


class Office:
    """Stands where the daemon does; answers what a test wants."""

    def __init__(self, address: Path) -> None:
        self.address = str(address)
        self.answer = Answered("{}")
        self.got: list[tuple[Asked, bytes]] = []
        self.undelivered: list[Asked] = []
        self.reception = Reception(address, self._answer, self.undelivered.append)
        self.reception.start()

    def _answer(self, asked: Asked, bundle: bytes, is_gone: object) -> Answered:
        self.got.append((asked, bundle))
        return self.answer


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "s")
    yield made
    made.reception.close()


def message(content: RecordDict, kind: str = "train") -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    made = Message(content, dst_node_id=5, message_type=kind)
    made.metadata.__dict__["_message_id"] = "1"
    return made


def test_a_message_is_carried_with_its_bundle_and_the_answer_back(office: Office) -> None:
    courier = Courier(office.address)
    courier.keep_bundle(b"the bundle", skip_prompt=True)
    app = courier.load(default_app_ref="", app_path=None, multi_app=True)("x/y", "1.0.0", "ab")
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    office.answer = Answered('{"a":1}', {"generator.w": weights}, np.ones(64, np.float32), audit_head="ff")
    reply = app(message=message(write_request("{}", write_arrays({"w": weights}))), context=None)
    asked, bundle = office.got[0]
    assert (asked.kind, asked.text, bundle) == ("train", "{}", b"the bundle")
    np.testing.assert_array_equal(asked.arrays["w"], weights)
    assert read_header(reply.content) == '{"a":1}'
    np.testing.assert_array_equal(read_arrays(reply.content)["generator.w"], weights)


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (RecordDict(), "train", SiteError.REQUEST),
        (write_request("{}"), "train.other", SiteError.REQUEST),
        (RecordDict({"request": ConfigRecord({"json": "{}"}), "arrays": ArrayRecord()}), "query", None),
    ],
)
def test_what_cannot_be_carried_is_a_code(
    office: Office, content: RecordDict, kind: str, code: SiteError | None
) -> None:
    reply = Courier(office.address).app(message(content, kind), None)
    assert read_refusal(reply.content) is code
    assert not reply.has_error()


def test_a_daemon_that_is_not_there_is_a_code_without_text(tmp_path: Path) -> None:
    reply = Courier(str(tmp_path / "absent")).app(message(write_request("{}")), None)
    assert read_refusal(reply.content) is SiteError.INTERNAL
    assert str(tmp_path) not in str(reply.content)


def test_flowers_program_is_left_with_no_way_to_the_bundle() -> None:
    program = importlib.import_module("flwr.supernode.runtime.run_clientapp")
    copied = ModuleType(program.__name__)
    copied.__dict__.update(program.__dict__)
    courier = Courier("unused")
    replace_steps(copied, courier)
    copied.install_from_fab(b"zip", skip_prompt=True)
    assert courier._bundle == b"zip"
    assert copied.get_load_client_app_fn()("a", "b", "c") == courier.app
    with pytest.raises(RuntimeError):
        copied.install_app_dependencies("x")
    # Whatever else of this program could run a bundle would have to come in by a name.
    assert {"load_app", "importlib", "subprocess"}.isdisjoint(program.__dict__)


@pytest.mark.parametrize(
    "missing", ["install_from_fab", "get_load_client_app_fn", "install_app_dependencies"]
)
def test_a_program_without_the_known_steps_is_refused(missing: str) -> None:
    names = STEPS - {missing}
    other = SimpleNamespace(__name__="other", **dict.fromkeys(names, print))
    with pytest.raises(RuntimeError, match=missing):
        replace_steps(other, Courier("unused"))  # type: ignore[arg-type]
    assert all(getattr(other, name) is print for name in names)


def test_another_flower_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.42.0")
    with pytest.raises(RuntimeError, match=r"1\.42\.0"):
        replace_steps(importlib.import_module(courier_module._PROGRAM), Courier("unused"))


def test_the_courier_and_the_daemon_load_no_torch() -> None:
    code = """
import sys
import client.courier, client.daemon.service
heavy = {"torch", "monai", "scipy", "ray"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_an_answer_whose_courier_is_gone_is_told(office: Office, wait_for: WaitFor) -> None:
    office.answer = Answered("{}", {"w": np.zeros(10_000_000, np.float32)})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(office.address)
        send_frame(connection, asked_frame(Asked("train", "{}")))
    wait_for(lambda: bool(office.undelivered), 10)
    assert [asked.kind for asked in office.undelivered] == ["train"]
