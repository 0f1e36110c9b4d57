"""What a person looks at before approving code: what changed since the last time, line by line if need be."""

from __future__ import annotations

import difflib
import importlib.util
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.bundle import Bundle

PACKAGES = ("client", "hqgnet", "server")
# At the root of a bundle; read by Flower, or by nobody.
_DESCRIPTIONS = frozenset({"pyproject.toml", "README.md", "LICENSE"})


@dataclass(frozen=True)
class FileChange:
    """A file that differs between two bundles.

    Attributes:
        path: In the bundle.
        mark: ``+`` added, ``-`` removed, ``~`` changed.
        added: Lines that are new.
        removed: Lines that are gone.
    """

    path: str
    mark: str
    added: int
    removed: int


def changes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[FileChange]:
    """Return the files that differ, by path; old and new are contents by path."""
    found = []
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) == new.get(path):
            continue
        lines = list(difflib.unified_diff(_lines(old.get(path)), _lines(new.get(path)), n=0))[2:]
        mark = "+" if path not in old else "-" if path not in new else "~"
        added = sum(line.startswith("+") for line in lines)
        removed = sum(line.startswith("-") for line in lines)
        found.append(FileChange(path, mark, added, removed))
    return found


def difference(path: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the unified diff of one file, fit for a terminal."""
    before, after = _lines(old.get(path)), _lines(new.get(path))
    for line in difflib.unified_diff(before, after, f"approved/{path}", f"new/{path}", lineterm=""):
        yield visible(line)


def visible(text: str) -> str:
    """Return a line in which nothing is hidden from its reader.

    Control characters could rewrite the terminal, and characters without shape, or that turn the direction of
    writing, make code read otherwise than it runs (arXiv 2111.00169); they are shown as escapes.
    """
    return "".join(
        char if char == "\t" or (char.isprintable() and unicodedata.category(char) != "Cf") else _escape(char)
        for char in text
    )


def outside_packages(bundle: Bundle) -> list[str]:
    """Return the files that belong to none of our packages: Python could take them for a library."""
    return [
        path for path in bundle.files if path not in _DESCRIPTIONS and path.partition("/")[0] not in PACKAGES
    ]


def differs_from_installed(bundle: Bundle) -> list[str]:
    """Return the code files that differ from those of the installed packages, or stand only on one side."""
    ours = {path: content for path, content in bundle.files.items() if path not in _DESCRIPTIONS}
    installed = installed_files()
    paths = ours.keys() | {path for path in installed if path.endswith(".py")}
    return sorted(path for path in paths if ours.get(path) != installed.get(path))


def installed_files() -> dict[str, bytes]:
    """Return the files of the installed packages by the path that they have in a bundle."""
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        # Looked up, not imported: a hospital never loads the server's code.
        spec = importlib.util.find_spec(package)
        for root in [Path(place) for place in (spec.submodule_search_locations if spec else None) or ()]:
            for file in sorted(root.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    files[f"{package}/{file.relative_to(root).as_posix()}"] = file.read_bytes()
    return files


def _lines(content: bytes | None) -> list[str]:
    # Split at line feeds alone: a lone carriage return would make a terminal overwrite the line.
    return [] if content is None else content.decode("utf-8", "backslashreplace").split("\n")


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
