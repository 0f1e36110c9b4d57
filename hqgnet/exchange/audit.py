"""The audit log: one line of JSON an entry, each bound to the one before by its hash.

Whoever alters, inserts or removes an entry must rewrite all that follow. What no chain can show by itself is
that its end was cut off: therefore the server writes the sites' latest hashes into its own log, and the other
way round a site may note the server's.

An entry: ``n`` (from 1), ``time`` (UTC, ISO 8601 with milliseconds), ``event``, ``facts``, ``previous`` (the
hash of the entry before; 64 zeros in the first) and ``hash``, the SHA-256 of the canonical JSON of the rest.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from hqgnet.errors import AuditError, OutputError, Problem
from hqgnet.files import sync_folder

NO_HASH = "0" * 64
RECOVERED = "recovered"
_KEYS = frozenset({"n", "time", "event", "facts", "previous", "hash"})
_BLOCK = 65536


@dataclass(frozen=True)
class Verified:
    """What a log holds whose chain is whole.

    Attributes:
        entries: How many.
        head: Hash of the last one; 64 zeros for an empty log.
        recovered: How many of them tell of a line that a crash cut off.
        first: Time of the first entry; None for an empty log.
        last: Time of the last entry; None for an empty log.
    """

    entries: int
    head: str
    recovered: int
    first: str | None = None
    last: str | None = None


class AuditLog:
    """Appends to one log; several processes may do so at the same time.

    Args:
        path: The file; made, readable by its owner only, with the first entry. Its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: str, **facts: Any) -> str:
        """Append an entry, and return its hash once it is safe on disk.

        A last line that a crash cut off is cut away first, and told of by an entry of its own.

        Args:
            event: What happened.
            facts: JSON values; nothing that must not be read by an auditor.

        Raises:
            ValueError: If a fact is NaN or infinite.
            TypeError: If a fact is no JSON value.
            OutputError: If the log cannot be written.
            AuditError: If its last entry has been altered: nothing is appended to a log that is not whole.
        """
        # As it will be read: tuples become lists, keys become text.
        told = json.loads(json.dumps(facts, allow_nan=False))
        try:
            with _opened(self._path) as stream:
                last, torn = _last_entry(stream, self._path)
                position = stream.seek(0, os.SEEK_END) - len(torn)
                if torn:
                    cut = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
                    last = _entry(last, RECOVERED, cut)
                    position = _write(stream, position, _line(last))
                entry = _entry(last, event, told)
                _write(stream, position, _line(entry))
        except OSError as error:
            what = f"cannot be written ({error.strerror or error})"
            remedy = "Check that its folder exists, is writable, and has free space"
            raise OutputError(Problem(str(self._path), what, remedy)) from error
        return str(entry["hash"])

    def head(self) -> str:
        """Return the hash of the last whole entry; 64 zeros where there is none.

        Raises:
            AuditError: If that entry has been altered.
        """
        try:
            with self._path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH)
                last, _ = _last_entry(stream, self._path)
        except FileNotFoundError:
            return NO_HASH
        return NO_HASH if last is None else str(last["hash"])


def verify(path: Path) -> Verified:
    """Check the whole chain of a log.

    Raises:
        AuditError: Naming the first line that is not as it was written, or that the file cannot be read.
    """
    last: dict[str, Any] | None = None
    recovered, first = 0, None
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            for number, line in enumerate(stream, 1):
                last = _checked(line, last, number, path)
                recovered += last["event"] == RECOVERED
                first = first or str(last["time"])
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise AuditError(Problem(str(path), what, "Give the audit.jsonl of a run or of a site")) from error
    if last is None:
        return Verified(0, NO_HASH, 0)
    return Verified(last["n"], last["hash"], recovered, first, last["time"])


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open for reading and appending, alone."""
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if new:
            sync_folder(path.parent)
        yield stream


def _write(stream: BinaryIO, position: int, line: bytes) -> int:
    """Write a line over what stands at ``position``, end the file there, and return the new end.

    In this order: a crash in between leaves a torn line again, and never a cut that nobody is told of.
    """
    stream.seek(position)
    stream.write(line)
    stream.flush()
    stream.truncate()
    os.fsync(stream.fileno())
    return position + len(line)


def _last_entry(stream: BinaryIO, path: Path) -> tuple[dict[str, Any] | None, bytes]:
    """Return the last whole entry, and what follows it: a line cut off by a crash."""
    size = stream.seek(0, os.SEEK_END)
    tail, start = b"", size
    # Back from the end until two line ends are there, or all of it.
    while start and tail.count(b"\n") < 2:
        start = max(0, start - _BLOCK)
        stream.seek(start)
        tail = stream.read(size - start)
    whole, ends, torn = tail.rpartition(b"\n")
    if not ends:
        return None, torn
    line = whole.rpartition(b"\n")[2] + ends
    entry = _read(line)
    if entry is None:
        raise _broken(path, "its last line", "is not an entry as it was written")
    return entry, torn


def _entry(last: dict[str, Any] | None, event: str, facts: dict[str, Any]) -> dict[str, Any]:
    entry = {
        "n": 1 if last is None else last["n"] + 1,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "facts": facts,
        "previous": NO_HASH if last is None else last["hash"],
    }
    return entry | {"hash": _hash(entry)}


def _checked(line: bytes, last: dict[str, Any] | None, number: int, path: Path) -> dict[str, Any]:
    place = f"line {number}"
    if not line.endswith(b"\n"):
        raise _broken(path, place, "is cut off; if a crash did it, the program's next start mends it")
    entry = _read(line)
    if entry is None:
        raise _broken(path, place, "is not an entry as it was written")
    previous, n = (NO_HASH, 1) if last is None else (last["hash"], last["n"] + 1)
    if (entry["previous"], entry["n"]) != (previous, n):
        raise _broken(path, place, "does not follow the line before: lines were removed, added or moved")
    return entry


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or set(entry) != _KEYS or type(entry["n"]) is not int:
        return None
    rest = {key: value for key, value in entry.items() if key != "hash"}
    # Byte for byte: a key that stands twice, say, could show a reader something else than it hashes.
    return entry if _hash(rest) == entry["hash"] and _line(entry) == line else None


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(entry)).hexdigest()


def _line(entry: dict[str, Any]) -> bytes:
    return _canonical(entry) + b"\n"


def _canonical(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


def _broken(path: Path, place: str, what: str) -> AuditError:
    remedy = "Keep the file as it is and find out who changed it; compare with the hashes that others noted"
    return AuditError(Problem(f"{path}: {place}", what, remedy))
