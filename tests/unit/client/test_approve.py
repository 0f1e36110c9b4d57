"""``hqgnet-client approve``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from client import cli
from client.approvals import Approvals
from client.audit import AUDIT_FILE
from client.bundle import read_bundle, sha256_of
from client.bundle_changes import changes, difference, differs_from_installed, installed_files, visible
from tests.unit.client.recorded_site import Pack, SiteWith

OLD = {"client/app.py": "one\ntwo\nthree\n", "client/gone.py": "a\nb\n", "pyproject.toml": "[project]\n"}
NEW = {"client/app.py": "one\n2\nthree\nfour\n", "client/new.py": "x\n", "pyproject.toml": "[project]\n"}


@pytest.fixture
def file(site_with: SiteWith) -> Path:
    return site_with()


@pytest.fixture
def approvals(file: Path) -> Approvals:
    return Approvals(file.parent / "work")


def approve(file: Path, *options: str) -> int:
    return cli.main(["approve", str(file), *options])


def in_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)


def test_what_changed_is_shown_and_approved(
    file: Path, approvals: Approvals, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    approvals.approve(pack(OLD), "maria")
    sha256 = approvals.keep_pending(pack(NEW))
    assert approve(file, "--yes", "--sha256", sha256.upper()) == 0
    shown = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert f"bundle {sha256}" in rows
    assert "client/app.py 17" in rows
    assert [row for row in rows if row[:2] in ("+ ", "- ", "~ ")] == [
        "~ client/app.py +2 -1",
        "- client/gone.py +0 -3",
        "+ client/new.py +2 -0",
    ]
    assert "files not as in the installed hqgnet" in shown
    assert "-two" not in shown
    assert approvals.is_approved(sha256) and approvals.pending() == []


def test_every_changed_line_is_shown_on_request(
    file: Path, approvals: Approvals, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    approvals.approve(pack(OLD), "maria")
    approvals.keep_pending(pack(NEW))
    assert approve(file, "--diff", "--yes") == 0
    shown = capsys.readouterr().out.splitlines()
    assert {"-two", "+2", "+four", "+x", "-a"} <= set(shown)


@pytest.mark.parametrize(("answer", "approved"), [("y", True), ("YES", True), ("", False), ("n", False)])
def test_in_a_terminal_somebody_is_asked(
    answer: str,
    approved: bool,
    file: Path,
    approvals: Approvals,
    pack: Pack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_a_terminal(monkeypatch, answer)
    (file.parent / "hqgnet.fab").write_bytes(pack(NEW))  # as it lies in a kit
    assert approve(file) == 0
    assert approvals.is_approved(sha256_of(pack(NEW))) is approved


def test_nobody_is_asked_without_a_terminal(
    file: Path, approvals: Approvals, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = approvals.keep_pending(pack(NEW))
    assert approve(file) == 10
    captured = capsys.readouterr()
    assert sha256 in captured.out and f"--yes --sha256 {sha256}" in captured.err
    assert not approvals.is_approved(sha256)


def test_another_bundle_than_expected_is_not_approved(
    file: Path, approvals: Approvals, pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "other.fab"
    bundle.write_bytes(pack(OLD))
    assert approve(file, "--bundle", str(bundle), "--yes", "--sha256", sha256_of(pack(NEW))) == 10
    assert "Approve nothing" in capsys.readouterr().err
    assert approve(file, "--bundle", str(tmp_path / "absent.fab"), "--yes") == 10
    bundle.write_bytes(b"no bundle")
    assert approve(file, "--bundle", str(bundle), "--yes") == 10
    assert approvals.approved() == ()


def test_of_several_one_must_be_named(
    file: Path, approvals: Approvals, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (approvals.keep_pending(pack(files)) for files in (OLD, NEW))
    assert approve(file, "--yes") == 10
    assert first in (said := capsys.readouterr().err) and second in said
    assert approve(file, "--yes", "--sha256", first) == 0
    assert approvals.is_approved(first) and not approvals.is_approved(second)


def test_where_nothing_waits_it_says_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert approve(file, "--yes") == 10
    assert "none waits for approval" in capsys.readouterr().err


def test_another_users_daemon_is_not_approved_for(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = file.parent / "work"
    work.mkdir(exist_ok=True)
    (work / AUDIT_FILE).touch()
    owner = (work / AUDIT_FILE).stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert approve(file, "--yes") == 10
    assert "Run this as the daemon's user" in capsys.readouterr().err
    assert not (work / "approvals.json").exists()


def test_revoking(file: Path, approvals: Approvals, pack: Pack, capsys: pytest.CaptureFixture[str]) -> None:
    sha256 = approvals.approve(pack(NEW), "maria").sha256
    assert approve(file, "--revoke", sha256) == 0
    assert not approvals.is_approved(sha256)
    assert approve(file, "--revoke", sha256) == 10


def test_the_installed_code_is_recognised(
    file: Path, pack: Pack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ours = {path: content.decode() for path, content in installed_files().items() if path.endswith(".py")}
    assert {"client/app.py", "hqgnet/config.py", "server/app.py"} <= set(ours)
    same = tmp_path / "same.fab"
    same.write_bytes(pack(ours | {"pyproject.toml": "[project]\n"}))
    assert approve(file, "--bundle", str(same), "--yes") == 0
    assert "same as the installed hqgnet" in capsys.readouterr().out
    without = {path: text for path, text in ours.items() if path != "client/guards.py"}
    changed = without | {"client/app.py": ours["client/app.py"] + "\n", "torch.py": ""}
    other = tmp_path / "other.fab"
    other.write_bytes(pack(changed))
    assert differs_from_installed(read_bundle(other.read_bytes())) == [
        "client/app.py",
        "client/guards.py",
        "torch.py",
    ]
    assert approve(file, "--bundle", str(other), "--yes") == 0
    assert "found by Python first: torch.py" in capsys.readouterr().out


def test_a_diff_hides_nothing_from_its_reader() -> None:
    evil = 'if user != "none\u202e \u2066# only admins\u2069 \u2066":\x1b[2K\r\x08 ok\u200b'
    for shown in (visible(evil), "".join(difference("a.py", {"a.py": b""}, {"a.py": evil.encode()}))):
        assert not set(shown) & set("\u202e\u2066\u2069\x1b\r\x08\u200b")
        assert "\\u202e" in shown and "\\x1b[2K" in shown
    assert visible("\tprüfe größe = 3  # µ") == "\tprüfe größe = 3  # µ"
    # Bytes that are no text are shown as well, and count.
    assert [c.added for c in changes({}, {"a.py": b"\xff\xfe\n"})] == [2]
    assert "\\xff" in "".join(difference("a.py", {}, {"a.py": b"\xff\n"}))
