"""One at a time over what the daemon and the commands of a site read, change and write."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hqgnet.errors import OutputError, Problem


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until nobody else holds the lock file, and hold it for the block; the kernel frees it at any end.

    Args:
        path: Made if missing, and left there; its folder must exist.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "Let the daemon's user write into the site's work folder"
        raise OutputError(Problem(str(path), what, remedy)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
