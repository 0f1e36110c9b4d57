"""Grades of whole images, such as the tortuosity of nerves: a CSV that gives LQ images their level."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hqgnet.data.tables import read_rows
from hqgnet.errors import DataError, Problem

LEVELS = 4
"""Levels that images are graded in, 0 to 3, as the four of tortuosity that DeepGrading tells apart."""

_COLUMNS = ("file", "grade")
_KEY = "images.grades"


def read_grades(file: Path, lq: Sequence[Path], required: Sequence[Path]) -> dict[Path, int]:
    """Read which LQ image has which grade.

    Every image to train on needs its line, so that none is forgotten; an empty grade says that nobody has
    graded it. Images to judge on may be left out.

    Args:
        file: CSV with columns ``file`` (relative to the CSV's folder) and ``grade`` (0 to
            ``LEVELS`` - 1).
        lq: All LQ images.
        required: Those of them that must stand in the file.

    Returns:
        The grades of the images that have one.

    Raises:
        DataError: With all mistakes: lines that name no LQ image, or one twice, grades that are no level,
            images of ``required`` without a line.
    """
    rows = read_rows(file, _COLUMNS, _KEY)
    image_of = _by_absolute_path(lq)
    known = {str(level): level for level in range(LEVELS)}
    grades: dict[Path, int] = {}
    named: set[Path] = set()
    problems = []
    for line, (name, grade) in rows:
        where = f"{file}: line {line}"
        path = image_of.get(os.path.abspath(file.parent / name))
        if path is None:
            remedy = "Write it relative to this file's folder, or remove the line"
            problems.append(Problem(where, f"{name!r} is not one of the site's LQ images", remedy))
            continue
        if path in named:
            problems.append(Problem(where, f"{name!r} stands twice", "Keep one line"))
        named.add(path)
        if grade in known:
            grades.setdefault(path, known[grade])
        elif grade:
            what = f"grade {grade!r} of {name!r} is none of {', '.join(known)}"
            remedy = "Number the levels from 0; leave the grade empty if nobody has graded the image"
            problems.append(Problem(where, what, remedy))
    remedy = "Add a line for it; leave its grade empty if nobody has graded it"
    problems += [
        Problem(str(file), f"does not name {path}, which is to be trained on", remedy)
        for path in required
        if path not in named
    ]
    if problems:
        raise DataError(problems)
    return grades


def unmatched_lines(file: Path, lq: Sequence[Path]) -> tuple[int, int]:
    """Return how many lines name none of the LQ images, and how many lines there are.

    Raises:
        DataError: If the file cannot be read.
    """
    rows = read_rows(file, _COLUMNS, _KEY)
    known = _by_absolute_path(lq)
    return sum(os.path.abspath(file.parent / row[0]) not in known for _, row in rows), len(rows)


def _by_absolute_path(paths: Sequence[Path]) -> dict[str, Path]:
    return {os.path.abspath(path): path for path in paths}
