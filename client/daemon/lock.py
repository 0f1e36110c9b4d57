"""One daemon a site, and nothing left over from one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from types import TracebackType

from hqgnet.errors import OutputError, Problem

LOCK = "daemon.lock"
_PREFIX = "hqgnet-"
_SOCKET = "daemon.sock"
_TRIES = 5
_TRY_PAUSE_S = 0.1
# A socket's path has at most 107 bytes.
_LONGEST_BASE = 107 - len(_PREFIX) - 8 - len(_SOCKET) - 2


class SiteLock:
    """Holds a site while the daemon lives, and a private folder for its socket and keys, as context manager.

    The kernel frees the lock however the daemon ends; the next one removes the folder that a killed one left,
    whose name stands in the lock's file.

    Args:
        work: The site's work folder; must exist.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / LOCK
        self._descriptor = -1
        self.folder = Path()

    def __enter__(self) -> SiteLock:
        """Take the lock and make the folder.

        Raises:
            OutputError: If another daemon has it, or a folder cannot be written.
        """
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            what = f"cannot be written ({error.strerror or error})"
            remedy = "Let the daemon's user write into the site's work folder"
            raise OutputError(Problem(str(self._path), what, remedy)) from error
        if not _locked(self._descriptor):
            os.close(self._descriptor)
            remedy = "See it with hqgnet-client status; end it before you start another"
            raise OutputError(Problem(str(self._path), "another daemon runs for this site", remedy)) from None
        left = os.pread(self._descriptor, 4096, 0).decode("utf-8", "replace").strip()
        if left:
            _remove_own(Path(left))
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{self.folder}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder and give the lock back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    @property
    def socket(self) -> Path:
        """Where the daemon listens for its couriers."""
        return self.folder / _SOCKET


def _locked(descriptor: int) -> bool:
    # More than one try: hqgnet-client status holds it for a moment when it looks.
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_TRY_PAUSE_S)
        else:
            return True
    return False


def is_held(work: Path) -> bool:
    """Return whether a daemon runs for the site of this work folder."""
    try:
        descriptor = os.open(work / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _base() -> str:
    """Return a folder of short name that can be written."""
    candidates = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]  # noqa: S108
    for name in candidates:
        if name and len(os.fsencode(name)) <= _LONGEST_BASE and os.access(name, os.W_OK | os.X_OK):
            return name
    what = "no folder for the daemon's socket can be written"
    remedy = "Set TMPDIR to a folder of the daemon's user, with a name of less than 60 characters"
    raise OutputError(Problem(", ".join(filter(None, candidates)), what, remedy))


def _remove_own(folder: Path) -> None:
    with contextlib.suppress(OSError):
        state = folder.lstat()
        if folder.name.startswith(_PREFIX) and stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
