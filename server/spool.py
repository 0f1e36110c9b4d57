"""Updates of one attempt at a round, on disk until all are in: one of them in memory at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hqgnet.errors import OutputError, Problem
from hqgnet.exchange.arrays import Array, Arrays


class Spool:
    """A folder that is there for one attempt, as a context manager; what a crash left in it is removed.

    Args:
        folder: Below one that exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Spool:
        """Make the folder, empty."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, site: str, arrays: Mapping[str, Array]) -> None:
        """Keep an update.

        Args:
            site: Its name, fit for a file.
            arrays: Checked beforehand.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            save_file(dict(arrays), self._file(site))
        except (OSError, SafetensorError) as error:
            raise OutputError(Problem(str(self._folder), "cannot be written", "Free space there")) from error

    def take(self, site: str) -> Arrays:
        """Return a site's update, and delete it from the disk.

        Raises:
            OutputError: If it cannot be read back.
        """
        try:
            arrays: Arrays = load_file(self._file(site))
            self._file(site).unlink()
        except (OSError, SafetensorError) as error:
            raise OutputError(Problem(str(self._folder), "cannot be read back", "Check that disk")) from error
        return arrays

    def _file(self, site: str) -> Path:
        return self._folder / f"{site}.safetensors"
