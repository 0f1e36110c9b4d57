"""What a site is opened from, as one digest: a process that has it open sees by it what has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from hqgnet.data.image_folders import walk_files
from hqgnet.data.site_config import SiteConfig


def content_digest(config: SiteConfig) -> str:
    """Return a SHA-256 (hex) of a site's settings, its split and grades, and of which image files there are.

    Images count by name, size and time of change, not by what is in them. What is missing counts as such: to
    say so is the affair of whoever opens the site.

    Args:
        config: The site's file, read anew.
    """
    tables = [_table(file) for file in (config.split.file, config.images.grades)]
    folders = [folder for name, folder in config.images if folder is not None and name != "grades"]
    files = [sorted(_files(folder)) for folder in folders]
    told = [config.model_dump(mode="json"), tables, files]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _table(file: Path | None) -> str | None:
    try:
        return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield path, size and time of change of a folder's files, as far as they can be seen."""
    for path in walk_files(folder, lambda error: None, lambda root, first: None):
        try:
            state = path.stat()
        except OSError:  # taken away meanwhile
            continue
        yield str(path), state.st_size, state.st_mtime_ns
