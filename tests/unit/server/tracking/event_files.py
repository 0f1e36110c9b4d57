"""Reading TensorBoard's event files from their format: length, check sum, an ``Event``, check sum."""

from __future__ import annotations

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

Points = dict[tuple[str, int], float]


def crc32c(data: bytes) -> int:
    """Castagnoli's check sum, bit by bit."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_events(file: Path) -> list[Event]:
    data, events = file.read_bytes(), []
    while data:
        (length,), (head_sum,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
        record, (record_sum,) = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])
        assert (head_sum, record_sum) == (masked(data[:8]), masked(record))
        events.append(Event.FromString(record))
        data = data[16 + length :]
    return events


def read_points(folder: Path) -> Points:
    """All points of all files of a folder, as a viewer shows them together; none may stand there twice."""
    points: Points = {}
    for file in sorted(folder.glob("*tfevents*")):
        first, *events = read_events(file)
        assert first.file_version == "brain.Event:2"
        for event in events:
            for value in event.summary.value:
                assert (value.tag, event.step) not in points
                points[value.tag, event.step] = value.simple_value
    return points
