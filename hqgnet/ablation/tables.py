"""What a table of the paper consists of; the tables themselves are in the files beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hqgnet.config import Modality
from hqgnet.method_config import CLASSICAL_METHODS
from hqgnet.robustness.noise import Noise

Kind = Literal["untouched", "enhanced", "joint"]
Judges = Literal["images", "segmentation", "grading"]
Across = Literal["rows", "metrics"]


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a table: what differs from the experiment that is given.

    Attributes:
        name: For ``--rows`` and folders.
        title: As the paper prints it.
        changes: Keys of the experiment with dots, and their values.
        kind: ``untouched`` judges images as they are; ``joint`` is the paper's "+".
    """

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "enhanced"

    @property
    def is_classical(self) -> bool:
        """Whether the enhancer needs no training."""
        return self.changes.get("method") in CLASSICAL_METHODS

    @property
    def has_fixed_images(self) -> bool:
        """Whether no training has a part in its images, so that they are the same for every seed."""
        return self.kind == "untouched" or self.is_classical


@dataclass(frozen=True, eq=False)
class Table:
    """A table or figure of the paper.

    Attributes:
        name: As in the paper: ``Va``.
        caption: What it shows.
        rows: In the paper's order.
        metrics: By modality, in the paper's order; names as in rows of figures, without version. Segmentation
            figures end in ``_image``: the paper's can only be means over images.
        paper: The paper's cells by modality and metric, one a row, quoted; absent where it has none.
        across: What stands side by side: rows, as in Table V, or metrics, as in Table III.
        judges: What is judged: images, or what a downstream network makes of them.
        noises: On the guide, as in Fig. 7 and 8.
    """

    name: str
    caption: str
    rows: tuple[Row, ...]
    metrics: Mapping[Modality, tuple[str, ...]]
    paper: Mapping[Modality, Mapping[str, tuple[str, ...]]]
    across: Across = "rows"
    judges: Judges = "images"
    noises: tuple[Noise, ...] = ()

    def cell(self, modality: Modality, metric: str, row: Row) -> str:
        """Return the paper's cell, empty where it has none."""
        cells = self.paper.get(modality, {}).get(metric)
        return cells[self.rows.index(row)] if cells else ""


def cells(line: str) -> tuple[str, ...]:
    """Return the cells of a line, between which stands ``|``."""
    return tuple(cell.strip() for cell in line.split("|"))
