"""Cleaning a real database: made, filled and read by Flower's own state."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import SubStatus
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.config_loader import get_federation_manager

from server.launch.database import LinkDatabase

OBJECT_BYTES = 4 * 2**20
OBJECTS = 5
LIMIT = 2 * 2**20


class Flower:
    """A SuperLink's state without its server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqlObjectStore(str(path), verify=False)
        self.store.initialize()
        self.state = SqlLinkState(str(path), get_federation_manager(is_simulation=False), self.store)
        self.state.initialize()

    def node(self) -> int:
        key = ec.generate_private_key(ec.SECP384R1()).public_key()
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        node = self.state.create_node("aid", "name", pem, 30)
        assert self.state.activate_node(node, 30)
        return node

    def run(self) -> int:
        """Begin a run of some objects and a message to a node with its reply."""
        run = self.state.create_run(
            "a/b", "1.0.0", "0" * 64, {}, NOOP_FEDERATION_ID, None, "aid", TaskType.SERVER_APP
        )
        contents = [os.urandom(OBJECT_BYTES) for _ in range(OBJECTS)]
        children = [ObjectTree(object_id=hashlib.sha256(content).hexdigest()) for content in contents]
        root = ObjectTree(object_id=hashlib.sha256(str(run).encode()).hexdigest(), children=children)
        self.store.preregister(run, root)
        for child, content in zip(children, contents, strict=True):
            self.store.put(child.object_id, content)
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            signed = run - 2**64 if run >= 2**63 else run
            for table, reply_to in (("message_ins", ""), ("message_res", f"m{run}")):
                connection.execute(
                    f"INSERT INTO {table} (message_id, run_id, reply_to_message_id) VALUES (?, ?, ?)",
                    (f"{table[-3:]}{run}", signed, reply_to),
                )
            connection.commit()
        return run

    def finish(self, run: int) -> None:
        [info] = self.state.get_run_info(run_ids=[run])
        assert self.state.claim_task(info.primary_task_id)
        assert self.state.activate_task(info.primary_task_id)
        assert self.state.finish_task(info.primary_task_id, SubStatus.COMPLETED, "")

    def close(self) -> None:
        for part in (self.store, self.state):
            assert part._engine is not None
            part._engine.dispose()


@pytest.fixture
def flower(tmp_path: Path) -> Flower:
    return Flower(tmp_path / "superlink.db")


def test_what_a_finished_run_left_is_given_back_and_nothing_else(flower: Flower) -> None:
    node = flower.node()
    finished, going_on = flower.run(), flower.run()
    flower.finish(finished)
    flower.close()
    database = LinkDatabase(flower.path)
    assert database.bytes > 2 * OBJECTS * OBJECT_BYTES
    assert database.has_unfinished_run()
    database.drop_finished_runs()
    freed = database.compact()
    assert freed > OBJECTS * OBJECT_BYTES
    assert database.bytes < OBJECTS * OBJECT_BYTES + LIMIT
    assert [kept.identifier for kept in database.nodes()] == [node]
    # Flower's own eyes see the other run whole, and both runs in the list.
    again = Flower(flower.path)
    assert len(again.store) == OBJECTS + 1
    assert again.state.num_message_ins() == again.state.num_message_res() == 1
    assert {run.run_id for run in again.state.get_run_info()} == {finished, going_on}
    again.finish(going_on)
    again.close()
    database.drop_finished_runs()
    database.compact()
    assert database.bytes < LIMIT and not database.has_unfinished_run()


def test_a_database_in_use_is_compacted_after_flower_has_cleaned_it(flower: Flower) -> None:
    """As after a run while the SuperLink goes on: ``flwr list`` drops, this gives back."""
    run = flower.run()
    flower.finish(run)
    flower.state.cleanup_run(run)
    database = LinkDatabase(flower.path)
    assert database.bytes > OBJECTS * OBJECT_BYTES
    assert database.compact() > OBJECTS * OBJECT_BYTES
    assert database.bytes < LIMIT
    # The connection that was open all the time goes on.
    assert flower.run() and len(flower.store) == OBJECTS + 1
    flower.close()


def test_where_another_reads_or_writes_nothing_breaks(
    flower: Flower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.launch.database._BUSY_S", 0.1)
    run = flower.run()
    flower.finish(run)
    flower.state.cleanup_run(run)
    with contextlib.closing(sqlite3.connect(flower.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        LinkDatabase(flower.path).compact()
        other.execute("UPDATE run SET flwr_aid = 'changed'")
        other.execute("COMMIT")
    flower.close()
    LinkDatabase(flower.path).compact()
    assert LinkDatabase(flower.path).bytes < LIMIT
    assert Flower(flower.path).state.get_run_info()[0].flwr_aid == "changed"


def test_nodes_tell_who_is_there(flower: Flower) -> None:
    here, gone = flower.node(), flower.node()
    flower.state.deactivate_node(gone)
    flower.close()
    nodes = {node.identifier: node for node in LinkDatabase(flower.path).nodes()}
    assert nodes[here].is_online() and not nodes[gone].is_online()
    assert nodes[here].last_seen is not None
    assert nodes[here].public_key.startswith(b"-----BEGIN PUBLIC KEY-----")


def test_no_database_is_a_small_one(tmp_path: Path) -> None:
    database = LinkDatabase(tmp_path / "absent.db")
    database.drop_finished_runs()
    assert (database.bytes, database.compact(), database.nodes()) == (0, 0, [])
    assert not database.has_unfinished_run() and not list(tmp_path.iterdir())


def test_another_kind_of_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"not a database" * 100)
    with pytest.raises(sqlite3.Error):
        LinkDatabase(tmp_path / "other.db").drop_finished_runs()
