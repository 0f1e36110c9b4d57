"""From each model's figures to the one table that a comparison is made of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from server.comparison.cells import Cell
from server.comparison.figures import is_downstream, is_of_image
from server.comparison.judging import ORIGINAL, Value, read_values


def gathered(out: Path, cells: Iterable[Cell], base: str | None) -> list[Value]:
    """Return the figures of all cells, and those of the originals once.

    Every model's file has the originals' figures. All files agree on them, but for those of the downstream
    network, of which every model has its own: these are taken from the federation under ``base`` alone, of
    each seed that has it.

    Args:
        out: Of the comparison.
        cells: Judged.
        base: The variant that others are held against; None where there are no variants.

    Raises:
        DataError: If a file of figures cannot be read.
    """
    values: dict[tuple[int, str, str, int, str], Value] = {}
    for cell in cells:
        is_base = cell.kind == "federated" and cell.variant == base
        for value in read_values(cell.file_of_figures(out)):
            # Files of earlier versions hold figures, too, whose mean over images is something else.
            if not is_of_image(value.metric):
                continue
            if value.model == ORIGINAL and is_downstream(value.metric) and not is_base:
                continue
            values[(value.seed, value.model, value.site, value.image, value.metric)] = value
    return list(values.values())
