"""Find the image files of a folder, so that none is left out without a word."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hqgnet.data.reading import IMAGE_SUFFIXES
from hqgnet.errors import DataError, Problem

_OF_THE_FILE_SYSTEM = "lost+found"  # at the root of a mounted disk; nobody but the superuser may enter it


def find_images(folder: Path | None, where: str) -> list[Path]:
    """Return the images of a folder and its sub-folders in the order of their names.

    Links are followed, to files and to folders. Hidden files and folders, whose names start with a point, are
    left out: macOS puts a ``._IMG.png`` beside an ``IMG.png``, and a desktop its deleted files in ``.Trash``.

    Args:
        folder: As the user gives it.
        where: Its key in the site file, or the option that named it; said in errors.

    Raises:
        DataError: If the folder is not given, is missing or holds no image; naming every folder, itself
            included, that may not be entered, every link that leads nowhere, and every folder that is
            reached twice, by a link in a circle, say.
    """
    if folder is None:
        raise DataError(Problem(where, "is not given", "Name the folder in the site file"))
    problems: list[Problem] = []

    def note_twice(root: str, first: str) -> None:
        what = f"folder {root} is folder {first} by another way: its images would count twice"
        problems.append(Problem(where, what, "Take the link away"))

    found = list(walk_files(folder, lambda error: problems.append(_closed(folder, where, error)), note_twice))
    problems += [_dead_link(path, where) for path in found if path.is_symlink() and not os.path.exists(path)]
    if problems:
        raise DataError(problems)
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        what = f"folder {folder} holds no image ({len(found)} other files)"
        remedy = f"Put images there; suffixes read are {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise DataError(Problem(where, what, remedy))
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def walk_files(
    folder: Path, note_closed: Callable[[OSError], None], note_twice: Callable[[str, str], None]
) -> Iterator[Path]:
    """Yield all files of a folder and its sub-folders that are not hidden, as :func:`find_images` has it.

    Args:
        folder: Links in it are followed, and each folder is entered once.
        note_closed: Called for every folder, itself included, that cannot be listed.
        note_twice: Called with every folder that was seen before, and where.
    """
    seen: dict[tuple[int, int], str] = {}
    for root, folders, names in os.walk(folder, onerror=note_closed, followlinks=True):
        try:
            state = os.stat(root)
        except OSError as error:
            note_closed(error)
            continue
        first = seen.setdefault((state.st_dev, state.st_ino), root)
        if first != root:
            note_twice(root, first)
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and name != _OF_THE_FILE_SYSTEM)
        yield from (Path(root, name) for name in names if name[0] != ".")


def _dead_link(path: Path, where: str) -> Problem:
    what = f"{path} is a link that leads nowhere, or where this user may not go"
    return Problem(where, what, "Correct the link, mount what it leads to, or take it away")


def _closed(folder: Path, where: str, error: OSError) -> Problem:
    closed = error.filename or folder
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Problem(where, f"folder {closed} is missing", "Create it or correct the path")
    if isinstance(error, PermissionError):
        what = f"folder {closed} may not be entered by this user ({error.strerror})"
        remedy = "Give the user that runs this the right to (chmod u+rx, or the group's), there and in the "
        return Problem(where, what, f"{remedy}folders above")
    what = f"folder {closed} cannot be read ({error.strerror or error})"
    return Problem(where, what, "Check the path, and the disk")
