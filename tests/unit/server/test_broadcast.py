"""What is sent, what a site makes of it, and that small steps are not lost to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import ArrayRecord, RecordDict

from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.compression.message import COMPRESSED, decompress
from hqgnet.exchange.update import ARRAYS
from server.broadcast import Broadcast
from server.wire import read_arrays
from tests.unit.exchange.compression.updates import LARGE, model


def broadcast(exact: Arrays, **keys: object) -> Broadcast:
    return Broadcast(exact, CompressionConfig.model_validate(keys))


def arrived(record: ArrayRecord) -> Arrays:
    """What a site makes of a record."""
    if COMPRESSED in record:
        return decompress(record[COMPRESSED].numpy(), None, None, 2**20)
    return read_arrays(RecordDict({ARRAYS: record}))


def test_without_compression_it_is_the_model_itself() -> None:
    exact = model()
    plain = broadcast(exact, up="int8")
    assert plain.sent is exact and list(plain.record) == ["packed"]
    combined = model(seed=5)
    assert all(array is combined[name] for name, array in plain.onto_exact(combined).items())


@pytest.mark.parametrize("keys", [{"down": "bfloat16"}, {"down": "float16", "zstd": True}, {"zstd": True}])
def test_what_arrives_whole_is_held_once(keys: dict[str, object]) -> None:
    exact = model()
    sent = broadcast(exact, **keys)
    assert list(sent.record) == [COMPRESSED]
    lossy = {name for name in exact if sent.sent[name] is not exact[name]}
    assert lossy == (set(LARGE) if "down" in keys else set())


@pytest.mark.parametrize("keys", [{}, {"down": "bfloat16"}, {"down": "float16", "zstd": True}])
def test_a_site_makes_the_same_of_a_part_as_of_the_whole(keys: dict[str, object]) -> None:
    exact = model()
    sent, part = broadcast(exact, **keys), sorted(exact)[::2]
    assert sent.record_of(exact.keys()) is sent.record
    came = arrived(sent.record_of(part))
    assert came.keys() == set(part)
    assert all(np.array_equal(came[name], sent.sent[name]) for name in part)


def test_steps_below_the_last_digit_add_up() -> None:
    start = model()
    exact = dict(start)
    step = np.float32(1e-4)  # bfloat16's last digit of 1 is 8e-3
    for _ in range(20):
        sent = broadcast(exact, down="bfloat16")
        combined = {name: array + step for name, array in sent.sent.items() if name in LARGE}
        exact |= sent.onto_exact(combined)
    for name in LARGE:
        np.testing.assert_allclose(exact[name] - start[name], 20 * step, rtol=0.05)
    assert all(exact[name] is start[name] for name in start.keys() - set(LARGE))
