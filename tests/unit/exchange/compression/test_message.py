"""Whole messages: what comes back, what they cost, and what is refused before memory is taken."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import ArrayError, ArrayFault, Arrays, check_arrays, distance
from hqgnet.exchange.compression.choice import Form, downward, most_bytes
from hqgnet.exchange.compression.feedback import compress_update
from hqgnet.exchange.compression.message import compress, decompress
from hqgnet.exchange.update import MalformedMessageError
from tests.unit.exchange.compression.updates import LARGE, forms, model, trained

UPWARD = ("float32", "float16", "bfloat16", "int8", "topk")
# Of the length of the update.
ERRORS = {"float32": 0.0, "float16": 3e-4, "bfloat16": 2.5e-3, "int8": 1.2e-2, "topk": 0.96}
GIBIBYTE = 2**30


def update_of(base: Arrays, after: Arrays, up: str, *, zstd: bool = False) -> NDArray[np.uint8]:
    settings = CompressionConfig.model_validate({"up": up, "zstd": zstd})
    return compress_update(after, base, {}, settings).packed


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("up", UPWARD)
def test_an_update_comes_back_as_near_as_its_codec_allows(up: str, zstd: bool) -> None:
    base = model()
    after = trained(base)
    settings = CompressionConfig.model_validate({"up": up, "zstd": zstd})
    update = compress_update(after, base, {}, settings)
    back = decompress(update.packed, forms(base), base)
    check_arrays(back, forms(base))
    assert distance(back, after) <= ERRORS[up] * distance(after, base)
    for name in after:
        if name not in LARGE:
            np.testing.assert_array_equal(back[name], after[name])
        # The sender knows to the last bit what the receiver has.
        np.testing.assert_array_equal(back[name], update.decoded[name])
    assert update.packed.nbytes <= most_bytes(after, settings) or not settings.is_up


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("down", ["float32", "float16", "bfloat16"])
def test_a_model_comes_back(down: str, zstd: bool) -> None:
    arrays = model()
    form = downward(CompressionConfig.model_validate({"down": down, "zstd": zstd}))
    packed, decoded = compress(arrays, form)
    back = decompress(packed, None, None, 2**20)
    check_arrays(back, forms(arrays))
    for name in arrays:
        np.testing.assert_array_equal(back[name], decoded[name])
        precision = {"float32": 0.0, "float16": 2**-10, "bfloat16": 2**-8}[down] if name in LARGE else 0.0
        assert np.abs(back[name] - arrays[name]).max() <= precision * np.abs(arrays[name]).max()


@pytest.mark.parametrize("up", UPWARD)
def test_what_has_not_moved_costs_no_bytes(up: str) -> None:
    base = model()
    moved = {**base, "task.linear.weight": trained(base)["task.linear.weight"]}
    small, large = update_of(base, base, up), update_of(base, moved, up)
    text = int.from_bytes(small[:8].tobytes(), "little")
    assert small.nbytes == 8 + text
    assert {entry["codec"] for entry in schema_of(small)["arrays"]} == {"unchanged"}
    codecs = {entry["name"]: entry["codec"] for entry in schema_of(large)["arrays"]}
    assert [name for name, codec in codecs.items() if codec != "unchanged"] == ["task.linear.weight"]
    back = decompress(small, forms(base), base)
    assert all(np.array_equal(back[name], base[name]) for name in base)
    packed, _ = compress({"a": np.zeros((100, 100), np.float32), "n": np.array(0)}, Form("float32", True))
    assert packed.nbytes < 300
    zeros = decompress(packed, None, None, GIBIBYTE)
    assert not zeros["a"].any() and zeros["n"].dtype == np.int64


def test_zstd_shortens_and_keeps_every_bit() -> None:
    base = model()
    after = trained(base)
    # Not numbers alone: bit patterns that no subtraction brings back.
    after["generator.conv.weight"].reshape(-1)[:4] = [-0.0, 1e-45, 3e38, -3e38]
    packed = update_of(base, after, "float32", zstd=True)
    back = decompress(packed, forms(base), base)
    assert all(back[name].tobytes() == after[name].tobytes() for name in after)
    assert packed.nbytes < 0.8 * sum(array.nbytes for array in after.values())


def test_int8_takes_a_quarter() -> None:
    base: Arrays = {"generator.conv.weight": np.zeros((256, 128, 3, 3), np.float32)}
    packed = update_of(base, trained(base), "int8")
    assert packed.nbytes < 0.252 * base["generator.conv.weight"].nbytes


def schema_of(packed: NDArray[np.uint8]) -> dict[str, Any]:
    length = int.from_bytes(packed[:8].tobytes(), "little")
    schema: dict[str, Any] = json.loads(packed[8 : 8 + length].tobytes())
    return schema


def message(schema: object, data: bytes) -> NDArray[np.uint8]:
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    return np.frombuffer(len(text).to_bytes(8, "little") + text + data, np.uint8)


def data_of(packed: NDArray[np.uint8]) -> bytes:
    return packed[8 + int.from_bytes(packed[:8].tobytes(), "little") :].tobytes()


BASE: Arrays = {"w": np.zeros((40, 50), np.float32)}
AFTER: Arrays = {"w": np.asarray(np.random.default_rng(3).standard_normal((40, 50)), np.float32)}


def changed(up: str, **facts: object) -> NDArray[np.uint8]:
    """A message of one array, with another schema."""
    packed = update_of(BASE, AFTER, up)
    schema = schema_of(packed)
    schema["arrays"][0] |= facts
    return message(schema, data_of(packed))


def with_data(up: str, change: Callable[[bytes], bytes], *, zstd: bool = False) -> NDArray[np.uint8]:
    """A message of one array, with other bytes, of which the schema tells the truth."""
    packed = update_of(BASE, AFTER, up, zstd=zstd)
    schema, data = schema_of(packed), change(data_of(packed))
    schema["arrays"][0]["stored"] = len(data)
    return message(schema, data)


def frame(size: int, *, told: bool = True) -> bytes:
    if told:
        return zstandard.ZstdCompressor().compress(bytes(size))
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return writer.compress(bytes(size)) + writer.flush()


def scales(value: float) -> Callable[[bytes], bytes]:
    return lambda data: np.float32(value).tobytes() + data[4:]


WHOLE = update_of(BASE, AFTER, "int8")
TWICE = {"version": 1, "base": "received", "arrays": schema_of(WHOLE)["arrays"] * 2}
MALFORMED: dict[str, NDArray[Any]] = {
    "empty": np.zeros(0, np.uint8),
    "no bytes": np.zeros(9, np.float32),
    "two dimensions": WHOLE[None],
    "cut in the schema": WHOLE[:20],
    "cut in the data": WHOLE[:-1],
    "followed by more": np.append(WHOLE, np.uint8(0)),
    "a schema without end": np.frombuffer((2**62).to_bytes(8, "little"), np.uint8),
    "no JSON": message(b"[[[[[", b""),
    "a list": message([], b""),
    "no version": message({"base": "received", "arrays": [1]}, b""),
    "another version": message(schema_of(WHOLE) | {"version": 2}, data_of(WHOLE)),
    "another base": message(schema_of(WHOLE) | {"base": "zero"}, data_of(WHOLE)),
    "unknown key": message(schema_of(WHOLE) | {"pickle": "x"}, data_of(WHOLE)),
    "an array twice": message(TWICE, data_of(WHOLE) * 2),
    "unknown codec": changed("int8", codec="pickle"),
    "no codec": changed("int8", codec=None),
    "unknown fact": changed("int8", scale=1.0),
    "bytes below none": changed("int8", stored=-1),
    "a length that is no number": changed("int8", stored="2160"),
    "fewer bytes than stored": changed("int8", stored=1),
    "no scales": changed("int8", scales=0),
    "too few scales": changed("int8", scales=1),
    "too many scales": changed("int8", scales=2000),
    "a scale that is NaN": with_data("int8", scales(float("nan"))),
    "a scale that is infinite": with_data("int8", scales(float("inf"))),
    "a negative scale": with_data("int8", scales(-1.0)),
    "half of float16": with_data("float16", lambda data: data[: len(data) // 2]),
    "float16 beyond its range": changed("float16", exponent=4000),
    "half of bfloat16": with_data("bfloat16", lambda data: data[:-2]),
    "bfloat16 with an exponent": changed("bfloat16", exponent=1),
    "exact, but short": with_data("float32", lambda data: data[:-4], zstd=True),
    "unchanged, with bytes": changed("int8", codec="unchanged"),
    "more kept than there is": changed("topk", kept=2001),
    "none kept": changed("topk", kept=0),
    "kept, but not stored": changed("topk", kept=21),
    "gaps of three bytes": changed("topk", gap_bytes=3),
    "gaps beyond the end": with_data("topk", lambda data: b"\xff\xff" + data[2:]),
    "no zstd frame": with_data("float32", lambda data: b"no frame", zstd=True),
    "zstd not said": changed("int8", zstd=True),
    "zstd of another length": with_data("float32", lambda _: frame(8001), zstd=True),
    "zstd of no told length": with_data("float32", lambda _: frame(8000, told=False), zstd=True),
    "zstd, cut short": with_data("float32", lambda data: data[:-3], zstd=True),
    "zstd, followed by more": with_data("float32", lambda data: data + b"more", zstd=True),
    "a bomb": with_data("float32", lambda _: frame(GIBIBYTE // 4), zstd=True),
}


@pytest.mark.parametrize("packed", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_is_refused(packed: NDArray[Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessageError):
            decompress(packed, forms(BASE), BASE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"shape": [50, 40]}, ArrayFault.SHAPE),
        ({"shape": [2**20, 2**20]}, ArrayFault.SHAPE),
        ({"name": "other"}, ArrayFault.UNKNOWN),
        ({"codec": "unchanged", "stored": 0, "dtype": "int64"}, ArrayFault.DTYPE),
    ],
)
def test_other_arrays_than_expected_are_refused(facts: dict[str, Any], fault: ArrayFault) -> None:
    schema = schema_of(WHOLE)
    schema["arrays"][0] |= facts
    if facts.get("codec") == "unchanged":
        del schema["arrays"][0]["scales"]
    packed = message(schema, b"" if "stored" in facts else data_of(WHOLE))
    with pytest.raises(ArrayError) as caught:
        decompress(packed, forms(BASE), BASE)
    assert caught.value.fault is fault


def test_a_missing_array_is_found_where_arrays_are_checked() -> None:
    back = decompress(message({"version": 1, "base": "received", "arrays": []}, b""), forms(BASE), BASE)
    with pytest.raises(ArrayError) as caught:
        check_arrays(back, forms(BASE))
    assert caught.value.fault is ArrayFault.MISSING


def test_numbers_that_overflow_are_found_where_arrays_are_checked() -> None:
    back = decompress(with_data("int8", scales(3e38)), forms(BASE), BASE)
    with pytest.raises(ArrayError) as caught:
        check_arrays(back, forms(BASE))
    assert caught.value.fault is ArrayFault.NOT_FINITE


@pytest.mark.parametrize("shape", [[2**34], [2**17, 2**17], [0, 2**40, 2**40], [2**41]])
def test_a_site_takes_no_more_memory_than_it_allows(shape: list[int]) -> None:
    entry = {"name": "w", "shape": shape, "stored": 0, "codec": "unchanged", "dtype": "float32"}
    packed = message({"version": 1, "base": "zero", "arrays": [entry]}, b"")
    with pytest.raises(MalformedMessageError):
        decompress(packed, None, None, GIBIBYTE)


def test_numbers_that_are_not_finite_do_not_leave() -> None:
    with pytest.raises(ArrayError) as caught:
        update_of(
            {"w": np.full((40, 50), -3e38, np.float32)}, {"w": np.full((40, 50), 3e38, np.float32)}, "int8"
        )
    assert caught.value.fault is ArrayFault.NOT_FINITE
