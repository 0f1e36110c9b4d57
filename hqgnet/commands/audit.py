"""``audit verify``: whether an audit log is as it was written."""

from __future__ import annotations

from pathlib import Path

from hqgnet.exchange.audit import verify

FILE = "audit.jsonl"


def verify_audit(path: Path) -> None:
    """Check a log and print how many entries it has, its head, and the time that it spans.

    Args:
        path: The log, or the folder of a run or a site's work folder that holds it.

    Raises:
        AuditError: If it is not whole.
    """
    file = path / FILE if path.is_dir() else path
    log = verify(file)
    print(f"{file}: whole")
    print(f"entries    {log.entries}")
    print(f"head       {log.head}")
    print(f"time span  {log.first or '-'} to {log.last or '-'}")
    if log.recovered:
        print(f"recovered  {log.recovered} (lines cut off by a crash, each told of in an entry of its own)")
