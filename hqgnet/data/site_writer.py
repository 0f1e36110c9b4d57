"""Write a site folder: images, masks, twins, grades, the split by patient and the YAML, all or nothing."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hqgnet.data.grades import LEVELS
from hqgnet.errors import DataError, OutputError, Problem

Quality = Literal["lq", "hq"]
Split = Literal["train", "validation", "test"]

SITE_YAML = """\
# {about}
# One hospital of a federation: what it holds and where. Nothing named here leaves the site.
# Paths are relative to this file.
name: {name}
modality: {modality}
channels: {channels}            # 3 for RGB, 1 for grey
images:
  lq: images/lq          # low-quality images, to be enhanced
{optional}split:
  file: split.csv        # columns file, patient, split; a patient is in one split only
"""
OPTIONAL_LINES = {
    "hq": "  hq: images/hq          # high-quality images of other patients: the guidance, unpaired\n",
    "masks": "  masks: masks           # one for each low-quality image, under the same file name\n",
    "twins": "  twins: twins           # clean validation and test images: for judging, never for training\n",
    "grades": "  grades: grades.csv     # columns file, grade: the level of each low-quality image\n",
}
LENDING_POLICY = "policy:\n  cue_bank: true         # cues of our HQ images may guide sites without any\n"


@dataclass(frozen=True)
class SiteImage:
    """One image of a site and what belongs to it.

    Attributes:
        file: File name, such as ``p012_lq_0.png``; the same for mask and twin.
        patient: Pseudonym, such as ``p012``.
        quality: ``lq`` or ``hq``.
        split: ``train``, ``validation`` or ``test``.
        image: (H, W, C) in [0, 1], C 1 or 3.
        mask: (H, W) uint8, 0 or 255, or None.
        twin: The clean (H, W, C) image, outside the train split only, or None.
        grade: The level of an LQ image, from 0, or None.
    """

    file: str
    patient: str
    quality: Quality
    split: Split
    image: NDArray[np.float64]
    mask: NDArray[np.uint8] | None = None
    twin: NDArray[np.float64] | None = None
    grade: int | None = None

    def __post_init__(self) -> None:
        """Refuse paired training, and grades that nobody would read."""
        if self.twin is not None and self.split == "train":
            raise ValueError(f"{self.file}: a clean twin in the train split would make the training paired")
        if self.grade is not None and (self.quality != "lq" or self.grade not in range(LEVELS)):
            raise ValueError(f"{self.file}: only LQ images have a grade, from 0 to {LEVELS - 1}")


def refuse_to_overwrite(folders: Iterable[Path]) -> None:
    """Make sure that none of the folders holds anything yet.

    Args:
        folders: Site folders about to be written.

    Raises:
        DataError: Naming every folder that is not empty, or that is a file.
    """
    problems = [
        Problem(
            str(folder), "exists already and is not empty", "Choose another output folder or remove this one"
        )
        for folder in folders
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    ]
    if problems:
        raise DataError(problems)


def write_site(
    folder: Path,
    images: Iterable[SiteImage],
    *,
    modality: str,
    channels: int,
    about: str,
    lends_cues: bool = False,
) -> Path:
    """Write a site folder; it appears complete or not at all.

    Args:
        folder: Where; its name is the site's name. It must not exist or be empty.
        images: The site's images; may be a generator, one image is held at a time.
        modality: ``fundus``, ``ccm`` or ``colonoscopy``.
        channels: 3 or 1, as in the images.
        about: One line for the head of the YAML file.
        lends_cues: Whether its policy lets cues of its HQ images, if it has any, guide other sites.

    Returns:
        The path of its ``site.yaml``.

    Raises:
        DataError: If the folder is not empty.
        OutputError: If the disk refuses.
        ValueError: If a patient is in two splits or a file name occurs twice.
    """
    refuse_to_overwrite([folder])
    partial = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        kinds = _write_images(partial, images)
        optional = "".join(line for kind, line in OPTIONAL_LINES.items() if kind in kinds)
        text = SITE_YAML.format(
            about=about, name=folder.name, modality=modality, channels=channels, optional=optional
        )
        policy = LENDING_POLICY if lends_cues and "hq" in kinds else ""
        (partial / "site.yaml").write_text(text + policy, encoding="utf-8")
        partial.rename(folder)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "Check that the folder above is writable and has free space"
        raise OutputError(Problem(str(folder), what, remedy)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / "site.yaml"


def _write_images(folder: Path, images: Iterable[SiteImage]) -> set[str]:
    """Write images and tables; returns which of the optional folders and files came to be."""
    rows: dict[str, tuple[str, str]] = {}
    split_of: dict[str, str] = {}
    grades: dict[str, int | None] = {}
    kinds: set[str] = set()
    for item in images:
        path = f"images/{item.quality}/{item.file}"
        if path in rows:
            raise ValueError(f"{path} occurs twice")
        if split_of.setdefault(item.patient, item.split) != item.split:
            raise ValueError(f"patient {item.patient} is in {split_of[item.patient]} and in {item.split}")
        rows[path] = (item.patient, item.split)
        _write_png(folder / path, to_8_bit(item.image))
        if item.quality == "lq":
            grades[path] = item.grade
        else:
            kinds.add("hq")
        if item.mask is not None:
            kinds.add("masks")
            _write_png(folder / "masks" / item.file, item.mask)
        if item.twin is not None:
            kinds.add("twins")
            _write_png(folder / "twins" / item.file, to_8_bit(item.twin))
    _write_table(folder / "split.csv", ("file", "patient", "split"), ((p, *rows[p]) for p in sorted(rows)))
    if any(grade is not None for grade in grades.values()):
        kinds.add("grades")
        _write_table(folder / "grades.csv", ("file", "grade"), ((p, grades[p]) for p in sorted(grades)))
    return kinds


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> None:
    """Write a CSV; None becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def to_8_bit(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round (H, W, C) in [0, 1] to 8 bits; a single channel is dropped, as PNG has it."""
    rounded = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    return rounded[..., 0] if rounded.ndim == 3 and rounded.shape[-1] == 1 else rounded


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG", compress_level=6)
