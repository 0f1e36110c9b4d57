"""The SuperLink's database: who is registered, and how to keep it small.

Flower 1.41 keeps every message's arrays in it and gives no space back: a short run of a 66 M parameter model
leaves 1.3 GB. What a finished run has left is deleted here, and the file is made small again; registrations
and the list of runs are never touched. The tables are those of Flower's schema of that version.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A run is over when its first task is.
_FINISHED = """
CREATE TEMP VIEW finished AS
SELECT run.run_id FROM run JOIN task ON task.task_id = run.primary_task_id WHERE task.finished_at IS NOT NULL
"""
_DROP = (
    "DELETE FROM message_res WHERE run_id IN finished",
    "DELETE FROM message_ins WHERE run_id IN finished",
    "DELETE FROM task_message WHERE run_id IN finished",
    # The newer table of messages refers to itself.
    "UPDATE message SET reply_to_message_id = NULL WHERE run_id IN finished",
    "DELETE FROM message WHERE run_id IN finished",
    "DELETE FROM object_push_sessions WHERE run_id IN finished",
    # Every object of a run stands in run_objects, those within others too.
    "DELETE FROM run_objects WHERE run_id IN finished",
    "DELETE FROM objects WHERE object_id NOT IN (SELECT object_id FROM run_objects)",
    "DELETE FROM task_logs WHERE task_id IN (SELECT task_id FROM task WHERE run_id IN finished)",
    "DELETE FROM nonce_store WHERE expires_at < unixepoch()",
)
_BUSY_S = 2.0
_PATIENT_S = 10.0
# Below this a VACUUM is not worth its writes.
_WORTHWHILE_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Node:
    """A registered site.

    Attributes:
        identifier: Flower's, unsigned.
        public_key: PEM.
        status: ``registered`` (never seen), ``online``, ``offline`` or ``unregistered``.
        online_until: Time until which it counts as online, in seconds since 1970; 0 if never seen.
        last_seen: When it last came, ISO 8601 in UTC; None if never.
    """

    identifier: int
    public_key: bytes
    status: str
    online_until: float
    last_seen: str | None

    def is_online(self) -> bool:
        """Return whether it has given a sign of life in time."""
        return self.status == "online" and self.online_until > time.time()


class LinkDatabase:
    """One SuperLink's SQLite file.

    Args:
        path: It need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def bytes(self) -> int:
        """Size of the file and of its write-ahead log."""
        return sum(file.stat().st_size for file in (self._path, self._log) if file.exists())

    @property
    def _log(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def nodes(self) -> list[Node]:
        """Return all registrations, unregistered ones too; may be asked while the SuperLink runs.

        Raises:
            sqlite3.Error: If the file is not such a database.
        """
        if not self._path.exists():
            return []
        query = (
            "SELECT node_id, public_key, status, online_until, last_activated_at "
            "FROM node ORDER BY registered_at"
        )
        with self._open() as connection:
            rows = connection.execute(query).fetchall()
        return [
            Node(row[0] % 2**64, bytes(row[1]), str(row[2]), float(row[3] or 0.0), row[4]) for row in rows
        ]

    def has_unfinished_run(self) -> bool:
        """Return whether any run is not over; may be asked while the SuperLink runs.

        Raises:
            sqlite3.Error: If the file is not such a database.
        """
        if not self._path.exists():
            return False
        with self._open() as connection:
            connection.execute(_FINISHED)
            query = "SELECT 1 FROM run WHERE run_id NOT IN finished LIMIT 1"
            return connection.execute(query).fetchone() is not None

    def drop_finished_runs(self) -> None:
        """Delete messages and objects of finished runs; only while the SuperLink is stopped.

        Raises:
            sqlite3.Error: If the file is not such a database, or is in use.
        """
        if not self._path.exists():
            return
        with self._open(_PATIENT_S) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(_FINISHED)
            for statement in _DROP:
                connection.execute(statement)
            connection.commit()

    def compact(self) -> int:
        """Give unused space back to the disk; return the number of bytes.

        Safe while the SuperLink runs: where it is in the way, nothing is done, and a later call does it.

        Raises:
            sqlite3.Error: If the file is not such a database.
        """
        if not self._path.exists():
            return 0
        before = self.bytes
        with self._open() as connection, contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            [free], [page] = (
                connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size")
            )
            if free * page >= _WORTHWHILE_BYTES:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return max(0, before - self.bytes)

    @contextlib.contextmanager
    def _open(self, patience_s: float = _BUSY_S) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=patience_s)
        try:
            yield connection
        finally:
            connection.close()
