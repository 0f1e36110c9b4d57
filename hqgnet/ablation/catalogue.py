"""Finding tables and rows by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from hqgnet.ablation.methods import METHODS
from hqgnet.ablation.switches import SWITCHES
from hqgnet.ablation.tables import Row, Table
from hqgnet.errors import ConfigurationError, Problem

TABLES: dict[str, Table] = {table.name.lower(): table for table in (*METHODS, *SWITCHES)}
"""All tables by their name in small letters."""


def table_named(name: str) -> Table:
    """Return a table; capitals and small letters are the same.

    Raises:
        ConfigurationError: If there is none of this name.
    """
    table = TABLES.get(name.lower())
    if table is None:
        known = ", ".join(known.name for known in TABLES.values())
        raise ConfigurationError(
            Problem("TABLE", f"{name!r} is no table that is built here", f"Give {known}")
        )
    return table


def rows_named(table: Table, names: Sequence[str]) -> tuple[Row, ...]:
    """Return rows in the table's order; all of them for no name.

    Raises:
        ConfigurationError: With every name that is no row.
    """
    wanted = [name.lower() for name in names]
    known = [row.name for row in table.rows]
    unknown = [name for name in dict.fromkeys(wanted) if name not in known]
    if unknown:
        raise ConfigurationError(
            Problem("--rows", f"{name!r} is no row of Table {table.name}", _remedy(name, known))
            for name in unknown
        )
    return tuple(row for row in table.rows if row.name in wanted or not wanted)


def _remedy(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"{hint}Give some of {', '.join(known)}"
