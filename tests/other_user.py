"""What another user of the machine may do, and folders that such a user may enter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nobody() -> Iterator[None]:
    """Give up the superuser's rights for a while, if this is one."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that any user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Let no user but the superuser enter a folder for a while."""
    mode = folder.stat().st_mode
    folder.chmod(0o000)
    try:
        yield
    finally:
        folder.chmod(mode)


@contextmanager
def usual_umask() -> Iterator[None]:
    """Make files as most users' processes do: readable by all."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> list[Path]:
    """Return what of a folder, itself included, a group or other users have any right to."""
    there = [folder, *folder.rglob("*")]
    return [path for path in there if not path.is_symlink() and path.stat().st_mode & 0o077]
