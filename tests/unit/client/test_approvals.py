"""Which code may run at a site."""

from __future__ import annotations

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client.approvals import MOST_PENDING, Approval, Approvals
from client.bundle import sha256_of, unpack
from hqgnet.errors import AuditError, ConfigurationError
from hqgnet.exchange.audit import verify
from tests.unit.client.recorded_site import Pack


@pytest.fixture
def bundles(pack: Pack) -> list[bytes]:
    return [pack({"client/app.py": f"version = {number}\n"}) for number in range(MOST_PENDING + 2)]


def test_only_approved_code_is_approved(bundles: list[bytes], tmp_path: Path) -> None:
    work = tmp_path / "work"
    approvals = Approvals(work)
    first, second = sha256_of(bundles[0]), sha256_of(bundles[1])
    assert not approvals.is_approved(first) and approvals.latest_approved() is None
    approvals.keep_pending(bundles[0])
    assert not approvals.is_approved(first) and approvals.pending() == [first]
    approvals.approve(bundles[0], "maria")
    again = Approvals(work)
    assert again.is_approved(first) and not again.is_approved(second) and again.pending() == []
    again.approve(bundles[1], "maria")
    latest = again.latest_approved()
    assert latest is not None and (latest.sha256, latest.by) == (second, "maria")
    assert again.is_approved(first)
    assert again.bundle(first) == bundles[0]
    assert stat.S_IMODE((work / "approvals.json").stat().st_mode) == 0o600
    events = [json.loads(line) for line in (work / "audit.jsonl").read_text().splitlines()]
    assert [(e["event"], e["facts"]) for e in events] == [
        ("approved", {"code": first, "by": "maria"}),
        ("approved", {"code": second, "by": "maria"}),
    ]
    again.approve(bundles[0], "eve")
    assert verify(work / "audit.jsonl").entries == 2


def test_an_approval_can_be_withdrawn(bundles: list[bytes], tmp_path: Path) -> None:
    approvals = Approvals(tmp_path)
    sha256 = approvals.approve(bundles[0], "maria").sha256
    place = unpack(bundles[0], approvals.code_folder)
    assert approvals.revoke(sha256, "maria")
    assert not approvals.is_approved(sha256) and not place.exists() and approvals.pending() == []
    assert not approvals.revoke(sha256, "maria")
    events = [json.loads(line)["event"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert events == ["approved", "revoked"]


def test_a_server_cannot_fill_the_disk(bundles: list[bytes], tmp_path: Path) -> None:
    approvals = Approvals(tmp_path)
    approvals.approve(bundles[0], "maria")
    for number, data in enumerate(bundles[1:]):
        approvals.keep_pending(data)
        os.utime(tmp_path / "bundles" / f"{sha256_of(data)}.fab", (number, number))
    approvals.keep_pending(bundles[2])  # asked for again: it is the newest now
    newest = [bundles[2], *reversed(bundles[3:])]
    assert approvals.pending() == [sha256_of(data) for data in newest[:MOST_PENDING]]
    assert len(list((tmp_path / "bundles").iterdir())) == MOST_PENDING + 1
    assert approvals.bundle(sha256_of(bundles[0])) == bundles[0]
    with pytest.raises(ConfigurationError):
        approvals.keep_pending(b"no bundle")
    with pytest.raises(ConfigurationError):
        approvals.approve(b"no bundle", "maria")


def test_approvals_at_the_same_time_are_all_kept(
    bundles: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals = Approvals(tmp_path)
    first = approvals.approve(bundles[0], "maria").sha256
    approved = Approvals.approved

    def slowly(self: Approvals) -> tuple[Approval, ...]:
        found = approved(self)
        time.sleep(0.1)  # somebody else comes between reading and writing
        return found

    monkeypatch.setattr(Approvals, "approved", slowly)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(Approvals(tmp_path).approve, data, "maria") for data in bundles[1:4]]
        done.append(pool.submit(Approvals(tmp_path).revoke, first, "maria"))  # type: ignore[arg-type]
        for each in done:
            each.result()
    monkeypatch.undo()
    assert {approval.sha256 for approval in approvals.approved()} == {
        sha256_of(data) for data in bundles[1:4]
    }
    assert verify(tmp_path / "audit.jsonl").entries == 5


def test_a_bundle_that_vanishes_while_one_looks_does_not_wait(bundles: list[bytes], tmp_path: Path) -> None:
    approvals = Approvals(tmp_path)
    sha256 = approvals.keep_pending(bundles[0])
    # As one that another process takes away between the listing and the look at its age.
    (tmp_path / "bundles" / f"{'0' * 64}.fab").symlink_to(tmp_path / "gone")
    assert approvals.pending() == [sha256]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version":1,"approved":[{"sha256":"x","by":"","at":""}]}', "\xff"]
)
def test_unreadable_approvals_approve_nothing(text: str, bundles: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "approvals.json").write_text(text, encoding="latin-1")
    for use in (Approvals(tmp_path).is_approved, lambda _: Approvals(tmp_path).approve(bundles[0], "maria")):
        with pytest.raises(ConfigurationError, match="approve the code again"):
            use(sha256_of(bundles[0]))


def test_what_the_audit_cannot_tell_is_not_approved(bundles: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_text('{"forged": true}\n')
    with pytest.raises(AuditError):
        Approvals(tmp_path).approve(bundles[0], "maria")
    assert not Approvals(tmp_path).is_approved(sha256_of(bundles[0]))


def test_a_kept_bundle_that_was_altered_is_none(bundles: list[bytes], tmp_path: Path) -> None:
    approvals = Approvals(tmp_path)
    sha256 = approvals.keep_pending(bundles[0])
    (tmp_path / "bundles" / f"{sha256}.fab").write_bytes(bundles[1])
    assert approvals.bundle(sha256) is None
    assert approvals.keep_pending(bundles[0]) == sha256
    assert approvals.bundle(sha256) == bundles[0]
