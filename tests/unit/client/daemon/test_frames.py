"""Frames between the processes of one site."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from client import frames
from client.frames import (
    DisconnectedError,
    Frame,
    FrameError,
    answered_frame,
    asked_frame,
    read_answered_frame,
    read_asked_frame,
    receive_frame,
    send_frame,
)
from client.message import Answered, Asked
from hqgnet.exchange.update import SiteError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def through(pair: Pair, frame: Frame) -> Frame:
    sender = threading.Thread(target=send_frame, args=(pair[0], frame))
    sender.start()
    received = receive_frame(pair[1], deadline=time.monotonic() + 10)
    sender.join()
    return received


def raw(head: object, size: int = 0, attachment: int = 0, version: int = frames.VERSION) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("!4sHQQQ", b"HQGF", version, len(text), size, attachment) + text


def test_a_frame_arrives_as_it_was_sent(pair: Pair) -> None:
    arrays: dict[str, Any] = {
        "z": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
        "a": np.array(-7, dtype=np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "flag": np.array([True, False]),
        "large": np.random.default_rng(0).normal(size=700_001).astype(np.float32),
        "not finite": np.array([np.nan, -np.inf], np.float64),
    }
    received = through(pair, Frame({"what": "test", "text": "Zürich \ud800"}, arrays, b"\0bundle"))
    assert received.head == {"what": "test", "text": "Zürich \ud800"}
    assert received.attachment == b"\0bundle"
    assert list(received.arrays) == list(arrays)
    for name, array in arrays.items():
        assert received.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(received.arrays[name], array, strict=True)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_frame_that_ends_early_is_no_frame(pair: Pair, share: float) -> None:
    whole = raw({"arrays": [["x", "<f4", [100]]]}, 400) + bytes(400)
    pair[0].sendall(whole[: int(len(whole) * share)])
    pair[0].close()
    with pytest.raises(DisconnectedError):
        receive_frame(pair[1])


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        raw({"arrays": []}, version=frames.VERSION + 1),
        struct.pack("!4sHQQQ", b"HQGF", frames.VERSION, frames.LARGEST_HEAD + 1, 0, 0),
        raw({"arrays": []}, frames.LARGEST_ARRAYS + 1),
        raw({"arrays": []}, 0, frames.LARGEST_ATTACHMENT + 1),
        raw([]),
        raw({}),
        raw({"arrays": [["x", "<f4"]]}),
        raw({"arrays": [["x", "|O", [1]]]}, 8),
        raw({"arrays": [["x", "<f4", [2]]]}, 4),
        raw({"arrays": [["x", "<f4", [-1]], ["y", "<f4", [2]]]}, 4),
        raw({"arrays": [["x", "<f4", [True]]]}, 4),
        raw({"arrays": [["x", "<f4", [1]], ["x", "<f4", [1]]]}, 8),
        raw({"arrays": [["x", "<f4", [0] * 100]]}, 0),
        raw({"arrays": [["x", "<f4", [1] * 9]]}, 4) + bytes(4),
        raw({"arrays": [], "x": float("nan")}),
    ],
)
def test_what_is_no_frame_is_refused(pair: Pair, data: bytes) -> None:
    pair[0].sendall(data)
    with pytest.raises(FrameError) as caught:
        receive_frame(pair[1], deadline=time.monotonic() + 5)
    assert not isinstance(caught.value, DisconnectedError)


def test_objects_do_not_travel(pair: Pair) -> None:
    for array in (np.array([object()]), np.array(["text"]), np.array([1 + 2j])):
        with pytest.raises(FrameError):
            send_frame(pair[0], Frame({}, {"x": array}))  # type: ignore[dict-item]


def test_a_deadline_ends_the_wait_for_a_frame_and_for_its_rest(pair: Pair) -> None:
    for data in (b"", raw({"arrays": []}, 0, 10)):
        pair[0].sendall(data)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            receive_frame(pair[1], deadline=begun + 0.1)
        assert time.monotonic() - begun < 2
    with pytest.raises(TimeoutError):  # nobody reads
        send_frame(pair[0], Frame({}, {}, bytes(10_000_000)), deadline=time.monotonic() + 0.1)


def test_the_other_ends_end_is_told_from_a_deadline(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(DisconnectedError):
        send_frame(pair[0], Frame({}, {}, bytes(10_000_000)))


@pytest.mark.parametrize(
    "answered",
    [
        Answered("{}", {"generator.w": np.ones((2, 2), np.float32)}, audit_head="ab"),
        Answered("{}", {}),
        Answered("{}", guidance=np.ones(64, np.float32)),
        Answered(code=SiteError.DIVERGED),
    ],
)
def test_an_answer_arrives_as_it_was_given(pair: Pair, answered: Answered) -> None:
    received = read_answered_frame(through(pair, answered_frame(answered)))
    assert (received.header, received.code, received.audit_head) == (
        answered.header,
        answered.code,
        answered.audit_head,
    )
    assert (received.arrays is None) == (answered.arrays is None)
    assert (received.guidance is None) == (answered.guidance is None)
    for name, array in (answered.arrays or {}).items():
        np.testing.assert_array_equal((received.arrays or {})[name], array)


def test_a_text_that_is_none_arrives_as_none(pair: Pair) -> None:
    asked, bundle = read_asked_frame(through(pair, asked_frame(Asked("train", b"\xff"), b"zip")))
    assert (asked.kind, asked.text, bundle) == ("train", None, b"zip")


@pytest.mark.parametrize(
    "head",
    [
        {"what": "hello"},
        {"what": "asked", "kind": "train.other", "text": ""},
        {"what": "answered", "header": 1, "code": None, "audit_head": None, "update": False},
        {"what": "answered", "header": None, "code": "made-up", "audit_head": None, "update": False},
    ],
)
def test_a_frame_of_another_kind_is_refused(head: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        read_asked_frame(Frame(head))
    with pytest.raises(FrameError):
        read_answered_frame(Frame(head))
