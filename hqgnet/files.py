"""Writing files so that a crash or a full disk leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hqgnet.errors import OutputError, Problem


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, where they are missing.

    Args:
        folder: One that is there stays as it is.
        mode: Its permissions, such as ``0o700`` for a private one, less what the process's umask takes away;
            those above it have what the umask leaves.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot be made ({error.strerror or error})"
        raise OutputError(Problem(str(folder), what, "Check the path and its permissions")) from error


def write_atomically(
    path: Path, data: bytes | Callable[[BinaryIO], object], *, mode: int | None = None
) -> None:
    """Write ``path`` in one step, and return only when it is safe on disk.

    The data go to a temporary file in the same folder, which then takes the name of ``path``.

    Args:
        path: Its folder must exist; a file of this name is replaced.
        data: The content, or a function that writes it into the open file it is given.
        mode: Permissions from the first moment on, such as ``0o600`` for a key; None leaves them to the
            process's umask.

    Raises:
        OutputError: If the file cannot be written; what stood there before is untouched.
    """
    with _replacing(path) as temporary, open(temporary, "xb", opener=_opener(mode)) as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)  # the umask may have taken more away
        if isinstance(data, bytes):
            file.write(data)
        else:
            data(file)
        file.flush()
        os.fsync(file.fileno())


def write_by_name_atomically(path: Path, write: Callable[[Path], object], *, mode: int | None = None) -> None:
    """As :func:`write_atomically`, by a library that opens files itself, or puts others in their place.

    Args:
        path: Its folder must exist; a file of this name is replaced.
        write: Writes the content into the file of the name that it is given.
        mode: Permissions once it is whole; while it is written only this user has any.

    Raises:
        OutputError: If the file cannot be written; what stood there before is untouched.
    """
    with _replacing(path) as temporary:
        with open(temporary, "xb") as file:
            usual = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            os.fchmod(file.fileno(), 0o600)
        write(temporary)
        with open(temporary, "r+b") as file:
            os.fchmod(file.fileno(), usual if mode is None else mode)
            os.fsync(file.fileno())


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file, yet to be made, that takes the name of ``path`` if all goes well."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "Check that the folder exists, is writable, and has free space"
        raise OutputError(Problem(str(path), what, remedy)) from error


def _opener(mode: int | None) -> Callable[[str, int], int]:
    return lambda name, flags: os.open(name, flags, 0o666 if mode is None else mode)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed while they wrote left; no other may be writing."""
    # The second kind is what safetensors calls its files until they are whole.
    for pattern in (".*.tmp", ".tmp??????"):
        for temporary in folder.glob(pattern):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make sure that the names of a folder's new files are safe on disk."""
    if os.name == "nt":  # Windows cannot open a folder as a file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
