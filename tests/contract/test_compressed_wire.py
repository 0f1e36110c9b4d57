"""Compressed messages from one end to the other: Flower's records, the site's own processes, the schema."""

from __future__ import annotations

import json
import socket
import threading

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client import wire as client_wire
from client.frames import (
    answered_frame,
    asked_frame,
    read_answered_frame,
    read_asked_frame,
    receive_frame,
    send_frame,
)
from client.message import Answered, Asked
from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import Arrays, ArraySpec
from hqgnet.exchange.compression.choice import downward
from hqgnet.exchange.compression.feedback import compress_update
from hqgnet.exchange.compression.message import COMPRESSED, compress, decompress
from hqgnet.exchange.update import ARRAYS, MalformedMessageError
from server import wire as server_wire

GENERATOR = np.random.default_rng(0)
BASE: Arrays = {
    "generator.weight": np.asarray(GENERATOR.standard_normal((32, 8, 3, 3)), np.float32),
    "generator.bias": np.ones(32, np.float32),
    "generator.seen": np.array(7, np.int64),
}
AFTER: Arrays = {
    "generator.weight": BASE["generator.weight"] + np.float32(0.01) * BASE["generator.weight"][::-1],
    "generator.bias": BASE["generator.bias"],
    "generator.seen": np.array(9, np.int64),
}
FORMS = {name: ArraySpec(array.shape, str(array.dtype)) for name, array in BASE.items()}
SETTINGS = CompressionConfig(up="int8", down="float16")


def carried(packed: np.ndarray) -> Arrays:  # type: ignore[type-arg]
    return {COMPRESSED: packed}


@pytest.fixture
def message() -> Message:
    """A request with a compressed model."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    packed, _ = compress(BASE, downward(SETTINGS))
    content = server_wire.write_request("{}", server_wire.write_compressed(packed))
    return Message(content, dst_node_id=5, message_type="train")


def through_a_socket(asked: Asked, answered: Answered) -> tuple[Asked, Answered]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for frame in (asked_frame(asked), answered_frame(answered)):
            sender = threading.Thread(target=send_frame, args=(ours, frame))
            sender.start()
            if frame.head["what"] == "asked":
                received = read_asked_frame(receive_frame(theirs))[0]
            else:
                answer = read_answered_frame(receive_frame(theirs))
            sender.join()
    return received, answer


def test_there_and_back(message: Message) -> None:
    text, arrays = client_wire.read_asked(message)
    update = compress_update(AFTER, decompress(arrays[COMPRESSED], None, None, 2**20), {}, SETTINGS)
    asked, answered = through_a_socket(Asked("train", text, arrays), Answered("{}", carried(update.packed)))
    sent = decompress(asked.arrays[COMPRESSED], None, None, 2**20)
    reply = client_wire.write_answered(message, answered)
    back = server_wire.read_update(reply.content, SETTINGS, FORMS, sent)
    assert back.keys() == AFTER.keys()
    for name, array in back.items():
        np.testing.assert_array_equal(array, update.decoded[name])
        assert (array.dtype, array.shape) == (AFTER[name].dtype, AFTER[name].shape)
    assert server_wire.size_of(reply.content) < update.packed.nbytes + 200


def test_the_schema_is_what_it_was() -> None:
    """A change of it needs another version: sites and servers may be of two versions of this package."""
    packed = compress_update(AFTER, BASE, {}, SETTINGS).packed
    length = int.from_bytes(packed[:8].tobytes(), "little")
    assert json.loads(packed[8 : 8 + length].tobytes()) == {
        "version": 1,
        "base": "received",
        "arrays": [
            {
                "name": "generator.weight",
                "shape": [32, 8, 3, 3],
                "stored": 32 * 4 + 32 * 8 * 9,
                "zstd": False,
                "codec": "int8",
                "dtype": "float32",
                "scales": 32,
            },
            {
                "name": "generator.bias",
                "shape": [32],
                "stored": 0,
                "zstd": False,
                "codec": "unchanged",
                "dtype": "float32",
            },
            {
                "name": "generator.seen",
                "shape": [],
                "stored": 8,
                "zstd": False,
                "codec": "exact",
                "dtype": "int64",
            },
        ],
    }
    # Scales, then whole numbers, row by row.
    moved = AFTER["generator.weight"] - BASE["generator.weight"]
    scales = np.frombuffer(packed[8 + length :][:128].tobytes(), "<f4")
    np.testing.assert_allclose(scales, np.abs(moved).reshape(32, -1).max(axis=1) / 127, rtol=1e-6)
    # A counter that went from 7 to 9: the difference 2, its sign in the lowest bit.
    assert packed[-8:].tobytes() == (4).to_bytes(8, "little")


def test_an_update_of_another_form_is_refused(message: Message) -> None:
    packed = compress_update(AFTER, BASE, {}, SETTINGS).packed
    plain = RecordDict({ARRAYS: server_wire.write_arrays(AFTER)})
    folded = RecordDict({ARRAYS: server_wire.write_compressed(packed)})
    both = RecordDict({ARRAYS: ArrayRecord({COMPRESSED: Array(packed), "packed": Array(packed)})})
    for content in (plain, both, RecordDict()):
        with pytest.raises(MalformedMessageError):
            server_wire.read_update(content, SETTINGS, FORMS, BASE)
    with pytest.raises(MalformedMessageError):
        server_wire.read_update(folded, CompressionConfig(), FORMS, BASE)
    message.content[ARRAYS] = both[ARRAYS]
    with pytest.raises(MalformedMessageError):
        client_wire.read_asked(message)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x80\x04pickle"])
def test_what_is_no_array_is_refused(data: bytes, message: Message) -> None:
    record = ArrayRecord({COMPRESSED: Array("uint8", (4,), "numpy.ndarray", data)})
    with pytest.raises(MalformedMessageError):
        server_wire.read_update(RecordDict({ARRAYS: record}), SETTINGS, FORMS, BASE)
    message.content[ARRAYS] = record
    with pytest.raises(MalformedMessageError):
        client_wire.read_asked(message)
