"""Read the CSV files that a hospital writes beside its images."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from hqgnet.errors import DataError, Problem


def read_rows(file: Path, columns: Sequence[str], key: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return line number and the named columns of every row, without spaces around them; others are ignored.

    Args:
        file: UTF-8 CSV with a line of column names.
        columns: Those that it must have.
        key: Where the site file names it (``split.file``), for the remedy.

    Raises:
        DataError: If it is missing, is no CSV or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                what = f"has no column {', '.join(missing)}"
                raise DataError(Problem(str(file), what, f"Its first line must be {','.join(columns)}"))
            return [
                (reader.line_num, tuple((row[column] or "").strip() for column in columns)) for row in reader
            ]
    except FileNotFoundError as error:
        raise DataError(Problem(str(file), "is missing", f"Check {key} in the site file")) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            Problem(str(file), f"cannot be read as CSV ({error})", "Save it as UTF-8 CSV")
        ) from error
