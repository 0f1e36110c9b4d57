"""What the processes of one site say to each other: frames over a local socket, read strictly.

A frame is a head in JSON, the arrays that it lists, as plain numbers one after the other, and an attachment
(the bundle, where one travels). Nothing is unpickled, and nothing is copied on the way but by the kernel. The
daemon and the approved code that it starts may be of two versions of this package: :data:`VERSION` says
whether they understand each other.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from client.message import Answered, Asked
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.update import SiteError

VERSION = 1
LARGEST_ARRAYS = 8 * 2**30
LARGEST_HEAD = 64 * 2**20
LARGEST_ATTACHMENT = 64 * 2**20
# More no array of a network has; of many the product alone would take hours, which no deadline ends.
_MOST_SIDES = 8

_MAGIC = b"HQGF"
_PREFIX = struct.Struct("!4sHQQQ")
# Plain little-endian numbers. What the site takes of them is judged where the arrays are checked.
_TYPES = {"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"}
_KINDS = ("train", "evaluate", "query")
_GUIDANCE = "guidance"
_UPDATE = "arrays/"


class FrameError(Exception):
    """What came is no frame of this version, or what is to go does not fit into one."""


class DisconnectedError(FrameError):
    """The other end is gone, before a frame or in the middle of one."""


@dataclass(frozen=True)
class Frame:
    """One message between two processes.

    Attributes:
        head: What JSON can hold; ``what`` says which kind of frame this is.
        arrays: By name, in the order in which they were given.
        attachment: Bytes as they are.
    """

    head: dict[str, Any]
    arrays: Arrays = field(default_factory=dict)
    attachment: bytes = b""


def send_frame(connection: socket.socket, frame: Frame, *, deadline: float | None = None) -> None:
    """Send a frame.

    Args:
        connection: A stream.
        frame: What to send.
        deadline: By ``time.monotonic()``; None to wait for ever.

    Raises:
        FrameError: If it is too large, or an array is not of plain numbers.
        DisconnectedError: If the other end is gone.
        TimeoutError: At the deadline.
    """
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in frame.arrays.items()]
    if any(dtype not in _TYPES for _, dtype, _ in listed):
        raise FrameError("an array is of a type that does not travel")
    head = json.dumps({**frame.head, "arrays": listed}, allow_nan=False).encode()
    size = sum(array.nbytes for array in frame.arrays.values())
    _check_lengths(len(head), size, len(frame.attachment))
    prefix = _PREFIX.pack(_MAGIC, VERSION, len(head), size, len(frame.attachment))
    _send(connection, prefix + head, deadline)
    for array in frame.arrays.values():
        _send(connection, _bytes_of(np.ascontiguousarray(array)), deadline)
    _send(connection, frame.attachment, deadline)


def receive_frame(connection: socket.socket, *, deadline: float | None = None) -> Frame:
    """Wait for a frame and read it.

    Args:
        connection: A stream.
        deadline: By ``time.monotonic()``; None to wait for ever.

    Raises:
        FrameError: If it is not a frame of this version, or too large.
        DisconnectedError: If the other end is gone.
        TimeoutError: At the deadline.
    """
    magic, version, head_length, size, attachment_length = _PREFIX.unpack(
        _receive(connection, bytearray(_PREFIX.size), deadline)
    )
    if magic != _MAGIC:
        raise FrameError("not a frame")
    if version != VERSION:
        raise FrameError(f"a frame of version {version}, this is version {VERSION}")
    _check_lengths(head_length, size, attachment_length)
    try:
        text = bytes(_receive(connection, bytearray(head_length), deadline))
        head = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FrameError("the head is not JSON") from error
    if not isinstance(head, dict):
        raise FrameError("the head is not a mapping")
    arrays = _empty_arrays(head.pop("arrays", None), size)
    for array in arrays.values():
        _receive(connection, _bytes_of(array), deadline)
    return Frame(head, arrays, bytes(_receive(connection, bytearray(attachment_length), deadline)))


def asked_frame(asked: Asked, bundle: bytes = b"") -> Frame:
    """Return what is asked as a frame; what is no text travels as null, to be refused where it is read."""
    text = asked.text if isinstance(asked.text, str) else None
    return Frame({"what": "asked", "kind": asked.kind, "text": text}, asked.arrays, bundle)


def read_asked_frame(frame: Frame) -> tuple[Asked, bytes]:
    """Return what is asked, and the bundle that came with it.

    Raises:
        FrameError: If the frame is of another kind.
    """
    head = frame.head
    if set(head) != {"what", "kind", "text"} or head["what"] != "asked" or head["kind"] not in _KINDS:
        raise FrameError("the frame asks nothing")
    return Asked(head["kind"], head["text"], frame.arrays), frame.attachment


def answered_frame(answered: Answered) -> Frame:
    """Return an answer as a frame."""
    head = {
        "what": "answered",
        "header": answered.header,
        "code": None if answered.code is None else str(answered.code),
        "audit_head": answered.audit_head,
        "update": answered.arrays is not None,
    }
    arrays: Arrays = {f"{_UPDATE}{name}": array for name, array in (answered.arrays or {}).items()}
    if answered.guidance is not None:
        arrays[_GUIDANCE] = answered.guidance
    return Frame(head, arrays)


def read_answered_frame(frame: Frame) -> Answered:
    """Return the answer in a frame.

    Raises:
        FrameError: If the frame is of another kind.
    """
    head, arrays = frame.head, dict(frame.arrays)
    if set(head) != {"what", "header", "code", "audit_head", "update"} or head["what"] != "answered":
        raise FrameError("the frame answers nothing")
    texts = (head["header"], head["code"], head["audit_head"])
    if not all(text is None or isinstance(text, str) for text in texts):
        raise FrameError("the answer's head is not text")
    guidance = arrays.pop(_GUIDANCE, None)
    if not all(name.startswith(_UPDATE) for name in arrays) or (arrays and head["update"] is not True):
        raise FrameError("the answer's arrays are not an update")
    try:
        code = None if head["code"] is None else SiteError(head["code"])
    except ValueError as error:
        raise FrameError("the answer's code is unknown") from error
    update = {name.removeprefix(_UPDATE): array for name, array in arrays.items()} if head["update"] else None
    return Answered(head["header"], update, guidance, code, head["audit_head"])


def _empty_arrays(listed: object, size: int) -> Arrays:
    """Return arrays as a head lists them, to be filled.

    Raises:
        FrameError: If the list is malformed, names an array twice, or does not sum to ``size`` bytes.
    """
    if not isinstance(listed, list):
        raise FrameError("the head lists no arrays")
    plan: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    whole = 0
    for entry in listed:
        match entry:
            case [str(name), str(dtype), list(shape)] if dtype in _TYPES and name not in plan:
                if len(shape) > _MOST_SIDES or not all(map(_is_side, shape)):
                    raise FrameError("an array has no such shape")
                plan[name] = (tuple(shape), np.dtype(dtype))
                whole += math.prod(shape) * np.dtype(dtype).itemsize
            case _:
                raise FrameError("the list of arrays is malformed")
    if whole != size:
        raise FrameError("the arrays are not as long as they say")
    try:
        return {name: np.empty(shape, dtype) for name, (shape, dtype) in plan.items()}
    except (ValueError, MemoryError) as error:
        raise FrameError("there is no room for the arrays") from error


def _is_side(side: object) -> bool:
    return type(side) is int and 0 <= side <= LARGEST_ARRAYS


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _send(connection: socket.socket, data: bytes | memoryview, deadline: float | None) -> None:
    if not data:
        return
    _limit(connection, deadline)
    try:
        connection.sendall(data)
    except TimeoutError:
        raise
    except OSError as error:
        raise DisconnectedError("the other end is gone") from error


def _receive(
    connection: socket.socket, room: bytearray | memoryview, deadline: float | None
) -> bytearray | memoryview:
    view, filled = memoryview(room), 0
    while filled < len(view):
        _limit(connection, deadline)
        try:
            count = connection.recv_into(view[filled:])
        except TimeoutError:
            raise
        except OSError as error:
            raise DisconnectedError("the other end is gone") from error
        if not count:
            raise DisconnectedError("the other end is gone")
        filled += count
    return room


def _limit(connection: socket.socket, deadline: float | None) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError("the deadline has passed")
    connection.settimeout(left)


def _check_lengths(head: int, arrays: int, attachment: int) -> None:
    if head > LARGEST_HEAD or arrays > LARGEST_ARRAYS or attachment > LARGEST_ATTACHMENT:
        raise FrameError("the frame is too large")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
