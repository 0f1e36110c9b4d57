"""Finding a site's files, reading each once, and dealing them to splits; all mistakes are said at once."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from hqgnet.data.dicom import read_owner
from hqgnet.data.grades import read_grades
from hqgnet.data.image_folders import find_images
from hqgnet.data.masks import LabelsError
from hqgnet.data.reading import is_coloured, read_image, read_mask
from hqgnet.data.site_config import SiteConfig
from hqgnet.data.splits import SPLITS, Place, assign_splits, splits_by_owner
from hqgnet.errors import DataError, Problem

Observer = Callable[[Path, Tensor], None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Sample:
    """One LQ or HQ image.

    Attributes:
        path: Its file.
        patient: Whose it is; never leaves the site.
        mask: Its mask file, if any (LQ only).
        twin: The file of its clean version, if any (LQ only); for judging, never for training.
        grade: The level of the whole image, from 0, if it has one (LQ only).
    """

    path: Path
    patient: str
    mask: Path | None = None
    twin: Path | None = None
    grade: int | None = None


@dataclass(frozen=True)
class Opened:
    """A site's files, without a mistake.

    Attributes:
        lq: LQ images by split, in the order of their names.
        hq: HQ images, likewise.
        skipped: Files that cannot be read, and why; they are in no split.
        size_range: Shortest and longest side of all LQ and HQ images, in pixels.
    """

    lq: Mapping[str, tuple[Sample, ...]]
    hq: Mapping[str, tuple[Sample, ...]]
    skipped: tuple[Problem, ...]
    size_range: tuple[int, int]


def open_files(config: SiteConfig, observe: Observer | None = None) -> Opened:
    """Find and check a site's files.

    Args:
        config: The site file.
        observe: Called with every file that can be read and its pixels, from several threads.

    Raises:
        DataError: With all problems of the site.
    """
    return _Opening(config, observe).finish()


@dataclass(frozen=True)
class _Checked:
    shape: tuple[int, int] | None = None
    coloured: bool = False
    owner: tuple[str, str] | None = None
    problems: tuple[Problem, ...] = ()
    mistakes: tuple[Problem, ...] = ()


class _Opening:
    """Collects a site's files and all that is wrong with them."""

    def __init__(self, config: SiteConfig, observe: Observer | None) -> None:
        self._config = config
        self._observe = observe
        self._problems: list[Problem] = []
        images = config.images
        lq, hq = self._find("lq", images.lq), [] if images.hq is None else self._find("hq", images.hq)
        self._files = {"lq": lq, "hq": hq}
        self._masks = self._companions("masks", images.masks)
        self._twins = self._companions("twins", images.twins)
        decoded = [*lq, *hq, *self._twins.values()]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            self._checked = dict(
                zip(decoded, pool.map(partial(self._check, read_image), decoded), strict=True)
            )
            masks = list(self._masks.values())
            self._checked |= zip(masks, pool.map(partial(self._check, read_mask), masks), strict=True)
        self._places = self._assign(lq, hq)
        self._grades = self._read_grades(lq)

    def finish(self) -> Opened:
        """Return the files, or raise everything that is wrong with it."""
        self._check_sizes()
        self._check_channels()
        self._check_owners()
        self._problems += [mistake for checked in self._checked.values() for mistake in checked.mistakes]
        lq, hq = self._deal("lq"), self._deal("hq")
        if self._problems:
            raise DataError(self._problems)
        sides = [
            side for name in ("lq", "hq") for path in self._files[name] for side in self._shape(path) or ()
        ]
        skipped = tuple(problem for checked in self._checked.values() for problem in checked.problems)
        return Opened(lq, hq, skipped, (min(sides), max(sides)))

    def _unless_wrong(self, read: Callable[[], _T], otherwise: _T) -> _T:
        """Keep what is wrong for later, so that all of it is said at once."""
        try:
            return read()
        except DataError as error:
            self._problems.extend(error.problems)
            return otherwise

    def _find(self, name: str, folder: Path | None) -> list[Path]:
        where = f"site {self._config.name}: images.{name}"
        return self._unless_wrong(partial(find_images, folder, where), [])

    def _companions(self, name: str, folder: Path | None) -> dict[Path, Path]:
        """Return masks or twins by their LQ image."""
        if folder is None:
            return {}
        image_of = self._by_key("lq", self._files["lq"], self._config.images.lq)
        companion_of = self._by_key(name, self._find(name, folder), folder)
        for key, path in companion_of.items():
            if image_of and key not in image_of:
                what = f"has no LQ image of the name {key} in {self._config.images.lq}"
                self._problems.append(Problem(str(path), what, "Remove it, or name it like its image"))
        return {image_of[key]: path for key, path in companion_of.items() if key in image_of}

    def _by_key(self, name: str, paths: Sequence[Path], folder: Path) -> dict[str, Path]:
        keyed: defaultdict[str, list[Path]] = defaultdict(list)
        for path in paths:
            keyed[path.relative_to(folder).with_suffix("").as_posix()].append(path)
        for key, same in keyed.items():
            if len(same) > 1:
                what = f"{' and '.join(path.name for path in same)} share the name {key}"
                place = f"site {self._config.name}: images.{name}"
                problem = Problem(place, what, "Rename one: masks and twins are found by name")
                if problem not in self._problems:
                    self._problems.append(problem)
        return {key: same[0] for key, same in keyed.items()}

    def _assign(self, lq: Sequence[Path], hq: Sequence[Path]) -> dict[Path, Place]:
        if not lq or (self._config.images.has_hq and not hq):
            # Said already; that the split names the missing images would say it again for each of them.
            return {}
        none: dict[Path, Place] = {}
        split, folders = self._config.split, self._config.images
        places = self._unless_wrong(partial(assign_splits, split, lq, hq, folders), none)
        patients = {places[path].patient for path in lq if path in places}
        if split.file is None and split.test > 0 and len(patients) == 1:
            what = (
                f"all {len(lq)} LQ images are of one patient ({patients.pop()!r}): none is left for testing"
            )
            remedy = "Correct the pattern, give split.file, or set split.test and split.validation to 0"
            where = f"site {self._config.name}: split.patient_pattern {split.patient_pattern!r}"
            self._problems.append(Problem(where, what, remedy))
        return places

    def _read_grades(self, lq: Sequence[Path]) -> dict[Path, int]:
        file = self._config.images.grades
        if file is None or not lq:
            return {}
        splits = {path: place.split for path, place in self._places.items()}
        required = [path for path in lq if self._shape(path) and splits.get(path) == "train"]
        return self._unless_wrong(partial(read_grades, file, lq, required), {})

    def _check_sizes(self) -> None:
        for kind, companions in (("mask", self._masks), ("twin", self._twins)):
            for image, companion in companions.items():
                shape, wanted = self._shape(companion), self._shape(image)
                if shape and wanted and shape != wanted:
                    what = f"is {shape[1]} x {shape[0]} pixels, its image {image} {wanted[1]} x {wanted[0]}"
                    remedy = f"Give a {kind} of the image's size, or remove it"
                    self._problems.append(Problem(str(companion), what, remedy))

    def _check_channels(self) -> None:
        if self._config.channels == 3:
            return
        for name, paths in self._files.items():
            coloured = [path for path in paths if self._checked[path].coloured]
            if coloured:
                where = f"site {self._config.name}: images.{name}"
                what = (
                    f"{len(coloured)} of {len(paths)} images are coloured (first {coloured[0]}); channels: 1"
                )
                self._problems.append(
                    Problem(where, what, "Write channels: 3, or convert the images to grey")
                )

    def _check_owners(self) -> None:
        """Hold the splits against the DICOM files' own word; one that they all share tells nobody apart."""
        owners = {path: owner for path in self._places if (owner := self._checked[path].owner)}
        if len(set(owners.values())) < 2:
            return
        for splits in splits_by_owner(self._places, owners):
            count = sum(len(paths) for paths in splits.values())
            first = ", ".join(f"{paths[0]} in {split}" for split, paths in splits.items())
            what = f"{count} DICOM files have one PatientID and are in {len(splits)} splits ({first})"
            remedy = (
                "Correct split.patient_pattern or split.file; if the ID is no patient's, but put in for "
                "others, empty it in the files"
            )
            self._problems.append(Problem(f"site {self._config.name}: split", what, remedy))

    def _deal(self, name: str) -> dict[str, tuple[Sample, ...]]:
        readable = [path for path in self._files[name] if self._shape(path)]
        samples: dict[str, list[Sample]] = {split: [] for split in SPLITS}
        for path in readable:
            if place := self._places.get(path):
                mask, twin = self._usable(self._masks.get(path)), self._usable(self._twins.get(path))
                grade = self._grades.get(path)
                samples[place.split].append(Sample(path, place.patient, mask, twin, grade))
        where = f"site {self._config.name}: images.{name}"
        if self._files[name] and not readable:
            first = self._checked[self._files[name][0]].problems[0]
            what = f"none of {len(self._files[name])} images can be read (first: {first.where}: {first.what})"
            self._problems.append(Problem(where, what, first.remedy))
        elif readable and self._places and not samples["train"]:
            what = f"none of its {len(readable)} readable images is in the training split"
            self._problems.append(Problem(where, what, "Give more patients, or correct the split"))
        return {split: tuple(dealt) for split, dealt in samples.items()}

    def _usable(self, companion: Path | None) -> Path | None:
        return companion if companion is not None and self._shape(companion) else None

    def _shape(self, path: Path) -> tuple[int, int] | None:
        return self._checked[path].shape

    def _check(self, read: Callable[[Path], Tensor], path: Path) -> _Checked:
        try:
            pixels = read(path)
        except LabelsError as error:
            return _Checked(mistakes=error.problems)
        except DataError as error:
            return _Checked(problems=error.problems)
        if self._observe is not None:
            self._observe(path, pixels)
        return _Checked((pixels.shape[1], pixels.shape[2]), is_coloured(pixels), read_owner(path))
