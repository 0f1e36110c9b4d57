"""Training, validation and test sets by patient: no patient is ever in two of them."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgnet.data.site_config import ImageFolders, SplitConfig
from hqgnet.data.tables import read_rows
from hqgnet.errors import DataError, Problem

SPLITS = ("train", "validation", "test")
_COLUMNS = ("file", "patient", "split")


@dataclass(frozen=True)
class Place:
    """Where an image belongs.

    Attributes:
        patient: Whose image it is; never leaves the site.
        split: One of :data:`SPLITS`.
    """

    patient: str
    split: str


def assign_splits(
    config: SplitConfig, lq: Sequence[Path], hq: Sequence[Path], folders: ImageFolders
) -> dict[Path, Place]:
    """Give every image its patient and split, from the split file or by a draw.

    The draw ranks patients by a hash of seed and name, so it depends neither on the order of files nor on the
    machine. Patients with LQ images, with HQ images and with both are drawn separately, so that each set gets
    its shares; a patient with both is in one split. Adding patients can move others between splits: keep a
    split file where that matters.

    Args:
        config: The site file's ``split``.
        lq: LQ images.
        hq: HQ images.
        folders: The site file's ``images``; a pattern with ``/`` is matched from its folders on.

    Raises:
        DataError: With all problems: file names without a patient, mistakes in the split file.
    """
    if config.file is not None:
        return _read_split_file(config.file, [*lq, *hq])
    folder_of = {path: folder for paths, folder in ((lq, folders.lq), (hq, folders.hq)) for path in paths}
    patients = _patients(config.patient_pattern, folder_of)
    in_lq, in_hq = {patients[path] for path in lq}, {patients[path] for path in hq}
    split_of: dict[str, str] = {}
    for group in (in_lq & in_hq, in_lq - in_hq, in_hq - in_lq):
        split_of |= draw(group, config.validation, config.test, config.seed)
    return {path: Place(patient, split_of[patient]) for path, patient in patients.items()}


def draw(patients: Collection[str], validation: float, test: float, seed: int) -> dict[str, str]:
    """Deal patients to splits: shares are rounded up, but one patient is always left for training.

    With three patients or more, no split of a share above 0 is empty.

    Args:
        patients: Their names, without repetition.
        validation: Share in [0, 1).
        test: Share in [0, 1).
        seed: Which draw.
    """
    ranked = sorted(patients, key=lambda patient: _rank(patient, seed))
    spare = max(len(ranked) - 1, 0)
    tests = min(_rounded_up(test * len(ranked)), max(spare - (validation > 0), min(spare, 1)))
    validations = min(_rounded_up(validation * len(ranked)), spare - tests)
    splits = ["test"] * tests + ["validation"] * validations
    return {patient: splits[rank] if rank < len(splits) else "train" for rank, patient in enumerate(ranked)}


def splits_by_owner(
    places: Mapping[Path, Place], owner_of: Mapping[Path, Hashable]
) -> list[dict[str, list[Path]]]:
    """Return the images, by split, of every owner who has some in several splits.

    Args:
        places: Where images belong.
        owner_of: Whose they are by another word than their names', such as a DICOM file's.
    """
    owned: defaultdict[Hashable, defaultdict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path, owner in owner_of.items():
        if path in places:
            owned[owner][places[path].split].append(path)
    return [dict(sorted(splits.items())) for splits in owned.values() if len(splits) > 1]


def _rank(patient: str, seed: int) -> bytes:
    # Of a name that is not UTF-8 Python holds the bytes as surrogates.
    return hashlib.sha256(f"{seed}:{patient}".encode(errors="surrogateescape")).digest()


def _rounded_up(count: float) -> int:
    return math.ceil(count - 1e-9)  # 0.1 * 30 is a little more than 3


def _patients(pattern: str, folder_of: Mapping[Path, Path | None]) -> dict[Path, str]:
    expression, by_path = re.compile(pattern), "/" in pattern
    patients, problems = {}, []
    for path, folder in folder_of.items():
        name = path.relative_to(folder or "").with_suffix("").as_posix() if by_path else path.stem
        match = expression.search(name)
        if match and match["patient"]:
            patients[path] = match["patient"]
        else:
            told = f"its {'path' if by_path else 'name'} does not say the patient"
            what = f"{told} (split.patient_pattern is {pattern!r})"
            problems.append(Problem(str(path), what, "Rename it, correct the pattern, or give split.file"))
    if problems:
        raise DataError(problems)
    return patients


def _read_split_file(file: Path, paths: Sequence[Path]) -> dict[Path, Place]:
    rows = read_rows(file, _COLUMNS, "split.file")
    wanted = {os.path.abspath(path): path for path in paths}
    places: dict[Path, Place] = {}
    splits_of: defaultdict[str, set[str]] = defaultdict(set)
    problems = []
    for line, (name, patient, split) in rows:
        where = f"{file}: line {line}"
        path = wanted.get(os.path.abspath(file.parent / name))
        if path is None:
            remedy = "Write it relative to this file's folder, or remove the line"
            problems.append(Problem(where, f"{name!r} is not one of the site's LQ and HQ images", remedy))
        elif path in places:
            problems.append(Problem(where, f"{name!r} stands twice", "Keep one line"))
        elif not patient:
            problems.append(
                Problem(where, f"{name!r} has no patient", "Give the patient, or any stable name")
            )
        elif split not in SPLITS:
            problems.append(
                Problem(where, f"split {split!r} is unknown", f"Write one of {', '.join(SPLITS)}")
            )
        else:
            places[path] = Place(patient, split)
            splits_of[patient].add(split)
    for patient, splits in sorted(splits_of.items()):
        if len(splits) > 1:
            what = f"patient {patient!r} is in {' and '.join(sorted(splits))}"
            problems.append(Problem(str(file), what, "Keep all images of a patient in one split"))
    named = {os.path.abspath(file.parent / row[0]) for _, row in rows}
    for absolute, path in wanted.items():
        if absolute not in named:
            problems.append(Problem(str(file), f"does not name {path}", "Add a line for it"))
    if problems:
        raise DataError(problems)
    return places
