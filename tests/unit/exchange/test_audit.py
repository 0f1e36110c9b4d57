"""An audit log: whatever is changed in it is found, and a crash leaves it whole."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from hqgnet.commands.audit import verify_audit
from hqgnet.errors import AuditError, ExitCode
from hqgnet.exchange.audit import NO_HASH, AuditLog, verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for number in range(4):
        log.append("told", number=number, name=f"Zürich {number}")
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_the_chain_is_what_the_description_says(path: Path) -> None:
    previous = NO_HASH
    for number, line in enumerate(lines(path), 1):
        entry = json.loads(line)
        told = entry.pop("hash")
        canonical = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(canonical).hexdigest() == told
        assert (entry["n"], entry["previous"]) == (number, previous)
        previous = told
    found = verify(path)
    assert (found.entries, found.head, found.recovered) == (4, previous, 0)
    assert AuditLog(path).head() == previous
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_log_has_no_head(tmp_path: Path) -> None:
    assert AuditLog(tmp_path / "none").head() == NO_HASH
    (tmp_path / "empty").touch()
    assert verify(tmp_path / "empty").entries == 0


def _change_fact(all_lines: list[bytes]) -> list[bytes]:
    return [all_lines[0], all_lines[1].replace(b'"number":1', b'"number":7'), *all_lines[2:]]


def _change_with_its_hash(all_lines: list[bytes]) -> list[bytes]:
    entry = json.loads(all_lines[1])
    entry["facts"]["number"] = 7
    del entry["hash"]
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    entry["hash"] = hashlib.sha256(canonical).hexdigest()
    forged = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return [all_lines[0], forged, *all_lines[2:]]


def _say_twice(all_lines: list[bytes]) -> list[bytes]:
    return [all_lines[0], all_lines[1].replace(b'"facts":', b'"facts":{"number":9},"facts":'), *all_lines[2:]]


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (_change_fact, 2),
        (_change_with_its_hash, 3),
        (_say_twice, 2),
        (lambda all_lines: [*all_lines[:1], *all_lines[2:]], 2),
        (lambda all_lines: [all_lines[0], all_lines[2], all_lines[1], all_lines[3]], 2),
        (lambda all_lines: [*all_lines[:2], all_lines[1], *all_lines[2:]], 3),
        (lambda all_lines: all_lines[1:], 1),
        (lambda all_lines: [*all_lines[:2], b"\n", *all_lines[2:]], 3),
        (lambda all_lines: [*all_lines[:3], all_lines[3][:-1]], 4),
        (lambda all_lines: [b"[" * 100_000 + b"\n", *all_lines], 1),
    ],
)
def test_whatever_is_changed_is_found_at_its_line(path: Path, tamper: Any, line: int) -> None:
    path.write_bytes(b"".join(tamper(lines(path))))
    with pytest.raises(AuditError, match=f"audit.jsonl: line {line}:") as caught:
        verify(path)
    assert caught.value.exit_code is ExitCode.AUDIT == 14


@pytest.mark.parametrize("cut", [1, 20, 10_000])
def test_a_line_that_a_crash_cut_off_is_told_of(path: Path, cut: int) -> None:
    whole = lines(path)
    torn = whole[3][:-cut] if cut < 100 else b"x" * cut
    path.write_bytes(b"".join(whole[:3]) + torn)
    assert AuditLog(path).head() == json.loads(whole[2])["hash"]
    AuditLog(path).append("back")
    found = verify(path)
    assert (found.entries, found.recovered) == (5, 1)
    entries = [json.loads(line) for line in lines(path)]
    assert [entry["event"] for entry in entries[3:]] == ["recovered", "back"]
    assert entries[3]["facts"] == {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}


def test_nothing_is_appended_to_a_log_whose_end_was_changed(path: Path) -> None:
    whole = lines(path)
    path.write_bytes(b"".join(whole[:3]) + whole[3].replace(b'"number":3', b'"number":4'))
    before = path.read_bytes()
    with pytest.raises(AuditError, match="its last line"):
        AuditLog(path).append("more")
    assert path.read_bytes() == before


@pytest.mark.parametrize("fact", [float("nan"), float("inf")])
def test_facts_are_json(path: Path, fact: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        AuditLog(path).append("told", fact=fact)
    with pytest.raises(TypeError):
        AuditLog(path).append("told", fact=path)
    assert verify(path).entries == 4


def test_long_entries_and_tuples_are_read_back(path: Path) -> None:
    AuditLog(path).append("long", text="é" * 200_000, pair=(1, 2))
    AuditLog(path).append("after")
    assert verify(path).entries == 6


def _append_many(path: Path, name: str) -> None:
    for number in range(25):
        AuditLog(path).append("told", name=name, number=number)


def test_processes_append_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, str(number))) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert verify(path).entries == 100
    for name in "0123":
        told = [json.loads(line)["facts"] for line in lines(path)]
        assert [facts["number"] for facts in told if facts["name"] == name] == list(range(25))


def test_the_command_prints_what_an_auditor_compares(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify_audit(path.parent)
    said = capsys.readouterr().out
    first, last = (json.loads(line)["time"] for line in (lines(path)[0], lines(path)[-1]))
    assert f"head       {AuditLog(path).head()}" in said and f"{first} to {last}" in said
    with pytest.raises(AuditError, match="cannot be read"):
        verify_audit(path.parent / "other.jsonl")
