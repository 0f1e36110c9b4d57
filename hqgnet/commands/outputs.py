"""Where a command's results go, made and tried before the work whose results they are."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile

from hqgnet.errors import OutputError, Problem
from hqgnet.files import make_folder


def prepare_file(path: Path) -> None:
    """See to it that a file can be written; one of this name stays as it is until then.

    Raises:
        OutputError: If its folder cannot be made or written to, or the name is that of a folder.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, False where a folder above may not be entered
        raise OutputError(Problem(str(path), "is a folder", "Give the name of a file"))
    prepare_folder(path.parent)


def prepare_folder(folder: Path) -> None:
    """Make a folder where it is missing, and see that files can be written there.

    Raises:
        OutputError: If it cannot be made or written to.
    """
    make_folder(folder)
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        what = f"cannot be written to ({error.strerror or error})"
        raise OutputError(Problem(str(folder), what, "Check its permissions and the disk's space")) from error
