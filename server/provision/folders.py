"""Private folders: the server's home, and folders that appear complete or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hqgnet.errors import ConfigurationError, OutputError, Problem
from hqgnet.files import make_folder, write_atomically
from server.federation import Federation

PRIVATE = 0o600
_PUBLIC = 0o644
_FOLDER = 0o700
_BEYOND_OWNER = 0o077


@dataclass(frozen=True)
class Content:
    """One file of a folder about to be made.

    Attributes:
        data: What it holds; left out of ``repr``, so that no key ends in a log.
        private: Whether only its owner may read it.
    """

    data: bytes
    private: bool = False

    def __repr__(self) -> str:
        """Say how much, not what."""
        return f"Content({len(self.data)} bytes, private={self.private})"


def check_private(folder: Path) -> None:
    """Make sure that only its owner can enter a folder, if it is there.

    Raises:
        ConfigurationError: If others can, or if it is no folder.
    """
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        what = f"cannot be looked at ({error.strerror or error})"
        raise ConfigurationError(Problem(str(folder), what, "Run this as the owner of the folder")) from error
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(Problem(str(folder), "is not a folder", "Give home another path"))
    mode = stat.S_IMODE(status.st_mode)
    if mode & _BEYOND_OWNER:
        what = f"holds private keys and is open to others (mode {mode:04o})"
        raise ConfigurationError(Problem(str(folder), what, f"Close it: chmod 700 {folder}"))


@contextlib.contextmanager
def own_home(federation: Federation) -> Iterator[None]:
    """Make the home folder and those in it where they are missing; keep other provisioning out meanwhile.

    Raises:
        ConfigurationError: If home is open to others, or another process provisions in it.
        OutputError: If it cannot be made.
    """
    check_private(federation.home)
    for folder in (
        federation.home,
        federation.superexec_secret.parent,
        federation.database.parent,
        federation.logs,
        federation.sites_folder,
        federation.flower_home,
    ):
        make_private_folder(folder)
    with (federation.home / "provision.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = "another process is provisioning in it"
            raise ConfigurationError(
                Problem(str(federation.home), what, "Wait until it has ended")
            ) from error
        yield


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, if it is missing; one that is there is left as it is.

    Raises:
        OutputError: If it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(mode=_FOLDER)
        folder.chmod(_FOLDER)
    except OSError as error:
        raise _unwritable(folder, error) from error


def place_folder(folder: Path, contents: Mapping[str, Content], *, former: Path | None = None) -> None:
    """Write a folder beside its place and put it there by renaming; a kill leaves no half of one.

    Args:
        folder: Its place; what an interrupted call left beside it is cleared away.
        contents: Files by their path within the folder.
        former: Where a folder that stands there already goes; None removes it.

    Raises:
        OutputError: If the disk refuses.
    """
    partial, discarded = (folder.with_name(f".{folder.name}.{word}") for word in ("partial", "discarded"))
    try:
        for leftover in (partial, discarded):
            if leftover.exists():
                shutil.rmtree(leftover)
        make_private_folder(partial)
        for name, content in contents.items():
            path = partial / name
            make_private_folder(path.parent)
            write_atomically(path, content.data, mode=PRIVATE if content.private else _PUBLIC)
        if folder.exists():
            folder.rename(former or discarded)
        partial.rename(folder)
        shutil.rmtree(discarded, ignore_errors=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def read(path: Path) -> bytes:
    """Read a small file of the home folder or of a kit.

    Raises:
        ConfigurationError: If it cannot be read; says the path, never the content.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"cannot be read ({os.strerror(error.errno) if error.errno else 'no reason given'})"
        remedy = "Restore it from a backup, or check its permissions"
        raise ConfigurationError(Problem(str(path), what, remedy)) from error


def _unwritable(folder: Path, error: OSError) -> OutputError:
    what = f"cannot be written ({error.strerror or error})"
    return OutputError(
        Problem(str(folder), what, "Check that the folder above is writable and has free space")
    )
