"""What a comparison trains: one model a cell, by kind, seed and, where it belongs to one, site.

The protocol is FLamby's (arXiv 2210.04620): local, pooled and federated training with the same number of
local steps, each model judged on every site's test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from server.progress import read_status
from server.run_directory import RunDirectory

Kind = Literal["alone", "pooled", "federated", "finetuned"]
KINDS: tuple[Kind, ...] = ("alone", "pooled", "federated", "finetuned")


@dataclass(frozen=True)
class Cell:
    """One model to train.

    Attributes:
        kind: How it is trained.
        seed: Of weights, batches and flips.
        site: Whose it is; None where it is everybody's.
    """

    kind: Kind
    seed: int
    site: str | None = None

    @property
    def model(self) -> str:
        """Name in tables: ``alone site-1``, ``pooled``."""
        return self.kind if self.site is None else f"{self.kind} {self.site}"

    def folder(self, out: Path) -> Path:
        """Where the cell's files lie."""
        return out / f"seed-{self.seed}" / (self.kind if self.site is None else f"{self.kind}-{self.site}")

    def file(self, out: Path) -> Path:
        """The cell's model."""
        name = "models/best.safetensors" if self.kind == "federated" else "model.safetensors"
        return self.folder(out) / name

    def is_trained(self, out: Path) -> bool:
        """Whether training is done: the model is written last, a run says so in its status."""
        if self.kind == "federated" and read_status(RunDirectory(self.folder(out)))[0] != "completed":
            return False
        return self.file(out).is_file()


def plan(sites: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Return all cells, in an order in which each finds what it starts from."""
    cells = []
    for seed in seeds:
        cells += [Cell("alone", seed, site) for site in sites]
        cells += [Cell("pooled", seed), Cell("federated", seed)]
        cells += [Cell("finetuned", seed, site) for site in sites]
    return cells
