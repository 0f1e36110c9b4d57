"""Which code may run at this site: bundles that somebody of the hospital has looked at and approved.

In the site's work folder: ``approvals.json``, and ``bundles/SHA256.fab`` for those approved and for the few
that a server has sent and nobody has looked at yet. Whoever changes them holds ``approvals.lock`` meanwhile:
the daemon keeps bundles while somebody approves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.audit import site_audit
from client.bundle import read_bundle, remove_unpacked, sha256_of
from client.lock_file import alone
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import make_folder, write_atomically

MOST_PENDING = 5
"""Unapproved bundles that are kept; a server cannot fill the disk with more."""

_APPROVALS_FILE = "approvals.json"
_LOCK_FILE = "approvals.lock"
_LONGEST_FILE = 1 << 20


class Approval(BaseModel):
    """One approved bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="of the bundle")]
    by: Annotated[str, Field(max_length=200, description="who approved it: name of the account")]
    at: Annotated[str, Field(max_length=40, description="when, in UTC (ISO 8601)")]


class _Approvals(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    approved: tuple[Approval, ...] = ()


class Approvals:
    """The approvals of one site.

    Args:
        work: The site's private folder; made when something is written.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._file = work / _APPROVALS_FILE
        self._bundles = work / "bundles"

    @property
    def code_folder(self) -> Path:
        """Where bundles are unpacked, each in a folder named by its SHA-256."""
        return self._work / "code"

    def approved(self) -> tuple[Approval, ...]:
        """Return all approvals that hold, the latest last.

        Raises:
            ConfigurationError: If the file of approvals cannot be read; nothing counts as approved then.
        """
        try:
            with self._file.open("rb") as stream:
                text = stream.read(_LONGEST_FILE)
            return _Approvals.model_validate_json(text).approved
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            what = "cannot be read as approvals"
            remedy = "Move it away and approve the code again with hqgnet-client approve"
            raise ConfigurationError(Problem(str(self._file), what, remedy)) from error

    def is_approved(self, sha256: str) -> bool:
        """Whether the code of this bundle may run.

        Raises:
            ConfigurationError: If the file of approvals cannot be read.
        """
        return any(approval.sha256 == sha256 for approval in self.approved())

    def latest_approved(self) -> Approval | None:
        """Return the latest approval; None where nothing is approved.

        Raises:
            ConfigurationError: If the file of approvals cannot be read.
        """
        return next(reversed(self.approved()), None)

    def approve(self, data: bytes, who: str) -> Approval:
        """Approve a bundle; approving it again changes nothing.

        The audit is written first: code that runs is code whose approval stands in it.

        Args:
            data: The bundle.
            who: Name of the account.

        Raises:
            ConfigurationError: If it is no bundle, or the file of approvals cannot be read.
            OutputError: If it cannot be written.
            AuditError: If the site's audit log has been altered.
        """
        sha256 = read_bundle(data).sha256
        with self._alone():
            approved = self.approved()
            for approval in approved:
                if approval.sha256 == sha256:
                    return approval
            self._keep(data)
            approval = Approval(sha256=sha256, by=who, at=datetime.now(UTC).isoformat(timespec="seconds"))
            site_audit(self._work).append("approved", code=sha256, by=who)
            self._write((*approved, approval))
        return approval

    def revoke(self, sha256: str, who: str) -> bool:
        """Withdraw an approval; return whether there was one. The code's unpacked files are removed.

        Raises:
            ConfigurationError: If the file of approvals cannot be read.
            OutputError: If it cannot be written.
            AuditError: If the site's audit log has been altered.
        """
        with self._alone():
            approved = self.approved()
            left = tuple(approval for approval in approved if approval.sha256 != sha256)
            if len(left) == len(approved):
                return False
            self._write(left)
            site_audit(self._work).append("revoked", code=sha256, by=who)
            self._bundle_file(sha256).unlink(missing_ok=True)
            remove_unpacked(self.code_folder / sha256)
        return True

    def keep_pending(self, data: bytes) -> str:
        """Keep a bundle that is not approved, for somebody to look at; return its SHA-256.

        Of more than :data:`MOST_PENDING` the oldest go.

        Raises:
            ConfigurationError: If it is no bundle; it is not kept then.
            OutputError: If it cannot be written.
        """
        sha256 = read_bundle(data).sha256
        with self._alone():
            self._keep(data)
            for old in self.pending()[MOST_PENDING:]:
                self._bundle_file(old).unlink(missing_ok=True)
        return sha256

    def pending(self) -> list[str]:
        """Return the SHA-256 of the bundles that nobody has approved, the newest first.

        Raises:
            ConfigurationError: If the file of approvals cannot be read.
        """
        approved = {approval.sha256 for approval in self.approved()}
        waiting = [file for file in self._bundles.glob("*.fab") if file.stem not in approved]
        ages = {file.stem: age for file in waiting if (age := _age(file)) is not None}
        return sorted(ages, key=lambda sha256: (ages[sha256], sha256))

    def bundle(self, sha256: str) -> bytes | None:
        """Return a kept bundle, approved or not; None if it is gone or no longer the one that was kept."""
        try:
            data = self._bundle_file(sha256).read_bytes()
        except OSError:
            return None
        return data if sha256_of(data) == sha256 else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else change the approvals, or what is kept, meanwhile."""
        make_folder(self._work, mode=0o700)
        with alone(self._work / _LOCK_FILE):
            yield

    def _bundle_file(self, sha256: str) -> Path:
        return self._bundles / f"{sha256}.fab"

    def _keep(self, data: bytes) -> None:
        """Keep a bundle; one that is asked for again counts as new."""
        make_folder(self._bundles)
        sha256 = sha256_of(data)
        if self.bundle(sha256) is None:
            write_atomically(self._bundle_file(sha256), data, mode=0o600)
        else:
            os.utime(self._bundle_file(sha256))

    def _write(self, approved: tuple[Approval, ...]) -> None:
        text = _Approvals(approved=approved).model_dump_json(indent=1)
        write_atomically(self._file, text.encode() + b"\n", mode=0o600)


def _age(file: Path) -> int | None:
    """Return what is the smaller the newer a file is; None if another process has taken it away meanwhile."""
    try:
        return -file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
