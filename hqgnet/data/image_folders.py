"""Find the image files of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from hqgnet.data.reading import IMAGE_SUFFIXES
from hqgnet.errors import DataError, Problem


def find_images(folder: Path | None, where: str) -> list[Path]:
    """Return the images of a folder and its sub-folders in the order of their names, hidden files left out.

    Args:
        folder: As the site file gives it.
        where: Its key, said in errors.

    Raises:
        DataError: If the folder is not given, is missing, may not be entered or holds no image.
    """
    if folder is None:
        raise DataError(Problem(where, "is not given", "Name the folder in the site file"))
    _see(folder, where)
    found = [Path(root, file) for root, _, files in os.walk(folder) for file in files if file[0] != "."]
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        what = f"folder {folder} holds no image ({len(found)} other files)"
        remedy = f"Put images there; suffixes read are {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise DataError(Problem(where, what, remedy))
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def _see(folder: Path, where: str) -> None:
    """Raise unless the folder's names can be listed: :func:`os.walk` would pass it over in silence."""
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"folder {folder} is missing"
        raise DataError(Problem(where, what, "Create it or correct the path")) from error
    except PermissionError as error:
        what = f"folder {folder} may not be entered by this user ({error.strerror})"
        remedy = "Give the user that runs this the right to (chmod u+rx, or the group's), there and in the "
        raise DataError(Problem(where, what, f"{remedy}folders above")) from error
    except OSError as error:
        what = f"folder {folder} cannot be read ({error.strerror or error})"
        raise DataError(Problem(where, what, "Check the path, and the disk")) from error
