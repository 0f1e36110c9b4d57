"""Arrays in NumPy's file format from a peer that is not trusted: its header is a text that Python reads."""

from __future__ import annotations

import io

import numpy as np
import pytest

from hqgnet.exchange.packing import read_npy
from hqgnet.exchange.update import MalformedMessageError

BYTES = np.dtype("u1")


def saved() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(5, dtype=BYTES))
    return stream.getvalue()


def test_what_was_saved_is_read() -> None:
    assert read_npy(saved(), BYTES).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("header", [b"{'descr': (", b"{'descr': '", b"(" * 9000, b"{1: 2}", b"\xff", b""])
def test_a_header_that_is_none_is_malformed(header: bytes) -> None:
    spoilt = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(5)
    with pytest.raises(MalformedMessageError, match="cannot be read"):
        read_npy(spoilt, BYTES)


@pytest.mark.parametrize("length", range(0, 130, 7))
def test_one_that_is_cut_short_is_malformed(length: int) -> None:
    with pytest.raises(MalformedMessageError):
        read_npy(saved()[:length], BYTES)
