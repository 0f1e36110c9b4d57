"""Writing files so that a crash or a full disk leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hqgnet.errors import OutputError, Problem


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot be made ({error.strerror or error})"
        raise OutputError(Problem(str(folder), what, "Check the path and its permissions")) from error


def write_atomically(path: Path, data: bytes | Callable[[BinaryIO], object]) -> None:
    """Write ``path`` in one step, and return only when it is safe on disk.

    The data go to a temporary file in the same folder, which then takes the name of ``path``.

    Args:
        path: Its folder must exist; a file of this name is replaced.
        data: The content, or a function that writes it into the open file it is given.

    Raises:
        OutputError: If the file cannot be written; what stood there before is untouched.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    data(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "Check that the folder exists, is writable, and has free space"
        raise OutputError(Problem(str(path), what, remedy)) from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder as a file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
