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
_SEED = "seed-"


@dataclass(frozen=True)
class Cell:
    """One model to train.

    Attributes:
        kind: How it is trained.
        seed: Of weights, batches and flips.
        site: Whose it is; None where it is everybody's.
        variant: Under which variant of the experiment a federation runs; None: as the experiment stands.
    """

    kind: Kind
    seed: int
    site: str | None = None
    variant: str | None = None

    @property
    def model(self) -> str:
        """Name in tables: ``alone site-1``, ``pooled``, or the variant's."""
        return self.variant or (self.kind if self.site is None else f"{self.kind} {self.site}")

    def folder(self, out: Path) -> Path:
        """Where the cell's files lie."""
        return out / f"{_SEED}{self.seed}" / self.model.replace(" ", "-")

    def file(self, out: Path) -> Path:
        """The cell's model."""
        name = "models/best.safetensors" if self.kind == "federated" else "model.safetensors"
        return self.folder(out) / name

    def file_of_figures(self, out: Path) -> Path:
        """What the judged model's images give."""
        return self.folder(out) / "values.csv"

    def is_trained(self, out: Path) -> bool:
        """Whether training is done: the model is written last, a run says so in its status."""
        if self.kind == "federated" and read_status(RunDirectory(self.folder(out)))[0] != "completed":
            return False
        return self.file(out).is_file()

    def file_at(self, out: Path, work: Path, *, personal: bool) -> Path:
        """The model that a site uses.

        Args:
            out: Of the comparison.
            work: The site's private folder.
            personal: Whether a part of the federation's model stays at each site: the site's own then lies
                with it.
        """
        if not personal:
            return self.file(out)
        return work / RunDirectory(self.folder(out)).identifier() / "model.safetensors"


def plan(sites: Sequence[str], seeds: Sequence[int], variants: Sequence[str] = ()) -> list[Cell]:
    """Return all cells, in an order in which each finds what it starts from.

    Args:
        sites: Names.
        seeds: Of training.
        variants: If there are any, their federations are all that is trained.
    """
    if variants:
        return [Cell("federated", seed, variant=variant) for seed in seeds for variant in variants]
    cells = []
    for seed in seeds:
        cells += [Cell("alone", seed, site) for site in sites]
        cells += [Cell("pooled", seed), Cell("federated", seed)]
        cells += [Cell("finetuned", seed, site) for site in sites]
    return cells


def seeds_in(out: Path) -> list[int]:
    """Return the seeds of which a comparison's folder holds anything, in order."""
    names = [folder.name.removeprefix(_SEED) for folder in out.glob(f"{_SEED}*")]
    return sorted({int(name) for name in names if name.isdecimal()})


def finished(out: Path, sites: Sequence[str], variants: Sequence[str] = ()) -> list[Cell]:
    """Return the cells whose models lie in a comparison's folder, whichever call trained them.

    Where sites alone, pooled and federated are held against each other, a seed counts once all its models are
    there: means over other seeds for one kind than for another could not be compared. Variants are compared
    seed by seed, and each that is trained counts.

    Args:
        out: Of the comparison.
        sites: Names.
        variants: All that the folder is of.
    """
    cells = []
    for seed in seeds_in(out):
        planned = plan(sites, [seed], variants)
        trained = [cell for cell in planned if cell.is_trained(out)]
        cells += trained if variants or len(trained) == len(planned) else []
    return cells
