"""The site's audit log: what was asked, what left, what was refused, whose code was approved."""

from __future__ import annotations

from pathlib import Path

from hqgnet.exchange.audit import AuditLog
from hqgnet.files import make_folder

AUDIT_FILE = "audit.jsonl"


def site_audit(work: Path) -> AuditLog:
    """Return the audit log of the site whose private folder is ``work``; the folder is made if missing.

    Raises:
        OutputError: If it cannot be made.
    """
    make_folder(work, mode=0o700)
    return AuditLog(work / AUDIT_FILE)
