"""What one end writes the other reads, through Flower's own serialisation, without a network."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from safetensors.numpy import save

from client import wire as client_wire
from client.message import Answered
from hqgnet.exchange.packing import unpack
from hqgnet.exchange.update import (
    ARRAYS,
    FROZEN,
    GUIDANCE,
    EvaluateRequest,
    MalformedMessageError,
    QueryReply,
    QueryRequest,
    ScoresHeader,
    SiteError,
    TrainRequest,
    UpdateHeader,
    read_message,
)
from server import wire as server_wire
from server.link import Reply

PARAMETERS = {
    "generator.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "generator.scalar": np.array(2.5, np.float32),
    "generator.empty": np.zeros((0, 2), np.float32),
    "generator.seen": np.array(7, np.int64),
}
MESSAGES = [
    QueryRequest(run="r", kind="finish", experiment="{}"),
    QueryReply(run="r", card=None),
    TrainRequest(
        run="r",
        phase="enhance",
        round=1,
        global_round=3,
        first_step=0,
        steps=2,
        deadline_s=5.0,
        experiment="{}",
    ),
    EvaluateRequest(
        run="r", phase="enhance", round=1, split="test", with_task=True, want_guidance=False, experiment="{}"
    ),
    UpdateHeader(
        run="r",
        phase="cooperate",
        round=1,
        attempt=0,
        site="s",
        groups=["task"],
        lq_images=1,
        hq_images=2,
        steps=3,
        losses={"a": 0.1},
        seconds=0.0,
        card_digest="0" * 64,
    ),
    ScoresHeader(
        run="r", phase="enhance", round=2, split="validation", site="s", scores={"x": [1]}, seconds=1.5
    ),
]


@pytest.fixture
def request_message() -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    content = server_wire.write_request("{}", server_wire.write_arrays(PARAMETERS))
    return Message(content, dst_node_id=5, message_type="train")


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_survive_json(message: object) -> None:
    assert read_message(message.to_json(), type(message)) == message  # type: ignore[attr-defined]


def test_the_site_reads_what_the_server_writes(request_message: Message) -> None:
    text, arrays = client_wire.read_asked(request_message)
    assert text == "{}"
    assert set(arrays) == set(PARAMETERS)
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (PARAMETERS[name].dtype, PARAMETERS[name].shape)
        np.testing.assert_array_equal(array, PARAMETERS[name])


def test_what_is_frozen_comes_beside_the_parameters(request_message: Message) -> None:
    frozen = {"cue_extractor.weight": np.ones((2, 2), np.float32)}
    request_message.content[FROZEN] = server_wire.write_arrays(frozen)
    _, arrays = client_wire.read_asked(request_message)
    assert arrays.keys() == {*PARAMETERS, *frozen}
    request_message.content[FROZEN] = server_wire.write_arrays({"generator.scalar": np.array(1, np.float32)})
    with pytest.raises(MalformedMessageError, match="twice"):
        client_wire.read_asked(request_message)


def test_the_server_reads_what_the_site_writes(request_message: Message) -> None:
    guidance = np.linspace(0, 1, 64, dtype=np.float32)
    reply = client_wire.write_answered(request_message, Answered("{}", PARAMETERS, guidance))
    assert server_wire.read_header(reply.content) == "{}"
    assert server_wire.read_refusal(reply.content) is None
    arrays = server_wire.read_arrays(reply.content)
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (PARAMETERS[name].dtype, PARAMETERS[name].shape)
        np.testing.assert_array_equal(array, PARAMETERS[name])
    received = server_wire.read_guidance(reply.content, 64)
    assert received is not None
    np.testing.assert_array_equal(received, guidance)
    data = sum(array.nbytes for array in [*PARAMETERS.values(), guidance])
    assert data < server_wire.size_of(reply.content) < data + 5 * 200
    # One object for Flower to send, not one for each parameter.
    assert len(reply.content.array_records[ARRAYS]) == 1


def test_a_refusal_is_a_code_and_nothing_else(request_message: Message) -> None:
    content = client_wire.write_answered(request_message, Answered(code=SiteError.DIVERGED)).content
    assert server_wire.read_refusal(content) is SiteError.DIVERGED
    assert str(content.config_records) == "{'refusal': {'code': 'training-diverged'}}"


def test_a_refusal_is_anchored_in_the_servers_log_as_an_answer_is(request_message: Message) -> None:
    refused, answered = (
        Answered(code=SiteError.DISK, audit_head="ab" * 32),
        Answered("{}", audit_head="cd" * 32),
    )
    content = client_wire.write_answered(request_message, refused).content
    assert server_wire.read_refusal(content) is SiteError.DISK
    assert Reply(5, content).audit_head == {"site_audit_head": "ab" * 32}
    content = client_wire.write_answered(request_message, answered).content
    assert Reply(5, content).audit_head == {"site_audit_head": "cd" * 32}


def test_an_unknown_refusal_is_not_repeated() -> None:
    content = RecordDict({"refusal": ConfigRecord({"code": "patient 4711 has no mask"})})
    assert server_wire.read_refusal(content) is SiteError.INTERNAL


def npy(array: np.ndarray) -> bytes:  # type: ignore[type-arg]
    return Array(array).data


WEIGHTS = np.frombuffer(save({"w": np.zeros(4, np.float32)}), np.uint8)


def described(entry: object, data: bytes = bytes(16)) -> np.ndarray:  # type: ignore[type-arg]
    header = json.dumps({"w": entry}).encode()
    return np.frombuffer(len(header).to_bytes(8, "little") + header + data, np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x80\x04pickle",
        npy(WEIGHTS)[:-1],
        npy(WEIGHTS) + b"\0",
        npy(WEIGHTS.astype(np.int8)),
        npy(WEIGHTS[None]),
        npy(WEIGHTS[:-1]),
        npy(WEIGHTS[:9]),
        npy(np.concatenate([WEIGHTS, WEIGHTS])),
        npy(np.frombuffer(save({"w": np.zeros(4, np.float64)}), np.uint8)),
        npy(np.frombuffer((2**62).to_bytes(8, "little"), np.uint8)),
        npy(np.frombuffer((5).to_bytes(8, "little") + b"[[[[[", np.uint8)),
        npy(described([])),
        npy(described({"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]})),
        npy(described({"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]})),
        npy(described({"dtype": "F32", "shape": [5], "data_offsets": [0, 16]})),
        npy(described({"dtype": "F32", "shape": [4], "data_offsets": [4, 20]}, bytes(20))),
        npy(described({"dtype": "F32", "shape": [True, 4], "data_offsets": [0, 16]})),
        npy(described({"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 16]})),
    ],
)
def test_arrays_of_another_form_are_refused(data: bytes, request_message: Message) -> None:
    array = Array("uint8", (4,), "numpy.ndarray", data)
    content = RecordDict({ARRAYS: ArrayRecord({"packed": array})})
    with pytest.raises(MalformedMessageError):
        server_wire.read_arrays(content)
    request_message.content[ARRAYS] = content[ARRAYS]
    with pytest.raises(MalformedMessageError):
        client_wire.read_asked(request_message)


def test_arrays_that_are_not_packed_are_refused(request_message: Message) -> None:
    request_message.content[ARRAYS] = ArrayRecord({"generator.weight": Array(np.zeros(4, np.float32))})
    with pytest.raises(MalformedMessageError):
        client_wire.read_asked(request_message)
    with pytest.raises(MalformedMessageError):
        server_wire.read_arrays(request_message.content)


def test_two_arrays_do_not_share_bytes() -> None:
    one = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header = json.dumps({"a": one, "b": one}).encode()
    packed = np.frombuffer(len(header).to_bytes(8, "little") + header + bytes(16), np.uint8)
    with pytest.raises(MalformedMessageError):
        unpack(packed)


@pytest.mark.parametrize("sides", [[1] * 9 + [4], [2**41], [10**30] * 200_000])
def test_shapes_that_no_network_has_are_refused_at_once(sides: list[int]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": sides, "data_offsets": [0, 16]}}).encode()
    packed = np.frombuffer(len(header).to_bytes(8, "little") + header + bytes(16), np.uint8)
    begun = time.process_time()
    with pytest.raises(MalformedMessageError):
        unpack(packed)
    # Multiplied, the longest of them takes hours.
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "vector", [np.zeros(63, np.float32), np.zeros((1, 64), np.float32), np.full(64, np.nan, np.float32)]
)
def test_guidance_of_another_form_is_refused(vector: np.ndarray) -> None:  # type: ignore[type-arg]
    content = RecordDict({GUIDANCE: ArrayRecord({GUIDANCE: Array(vector)})})
    with pytest.raises(MalformedMessageError):
        server_wire.read_guidance(content, 64)


def test_a_reply_without_a_header_is_refused() -> None:
    with pytest.raises(MalformedMessageError):
        server_wire.read_header(RecordDict())
