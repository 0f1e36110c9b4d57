"""Patients: signs that one of them counts as two, so that images of one are learned from and judged on.

That files of one DICOM PatientID are in two splits is a mistake that :meth:`SiteData.open` names.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from client.checks.finding import Finding
from client.checks.images import OpenedSite
from hqgnet.data.dicom import read_owner
from hqgnet.data.site_data import SiteData

_Key = TypeVar("_Key", bound=Hashable)
_Member = TypeVar("_Member")
# A name's parts end where its letters and digits do, and before the side of the body: 0001-OD, 0001OD.
_PARTS_END = re.compile(r"[\W_]+|(?<=\d)(?=(?:OD|OS|L|R)$)", re.IGNORECASE)
_REMEDY = (
    "See that split.patient_pattern finds the patient (one with / in it is matched to the path in the image "
    "folder), or give split.file"
)


def check_patients(site: OpenedSite) -> list[Finding]:
    """Count patients, and look for one under two names: by spelling, DICOM, file names and folders."""
    data, split = site.data, site.config.split
    if data is None:
        return []
    split_of = {
        sample.path: split_name
        for splits in (data.lq, data.hq)
        for split_name, samples in splits.items()
        for sample in samples
    }
    dicom = {path: owner for path in split_of if (owner := read_owner(path))}
    findings = _spelled_alike(data)
    if len({split_of[path] for path in dicom}) > 1 and len(set(dicom.values())) == 1:
        findings.append(_one_dicom_patient(len(dicom)))
    if split.file is None:
        findings += _one_each(site, data, [path for path in split_of if path not in dicom])
        if "/" not in split.patient_pattern:
            findings += _divided_folders(site, split_of)
    return findings or [_counted(data)]


def _counted(data: SiteData) -> Finding:
    in_lq, in_hq = _patients(data)
    detail = f"{len(in_lq | in_hq)}, each in one split"
    if both := len(in_lq & in_hq):
        detail += f"; {both} with LQ and HQ images, which is allowed: images are not paired"
    return Finding("Images", "patients", "ok", detail)


def _patients(data: SiteData) -> tuple[set[str], set[str]]:
    lq, hq = (
        {sample.patient for samples in splits.values() for sample in samples} for splits in (data.lq, data.hq)
    )
    return lq, hq


def _spelled_alike(data: SiteData) -> list[Finding]:
    in_lq, in_hq = _patients(data)
    groups = _grouped((_spelling(patient), patient) for patient in sorted(in_lq | in_hq))
    alike = tuple(" = ".join(names) for names in groups.values() if len(names) > 1)
    if not alike:
        return []
    what = f"{len(alike)} times names of patients differ only in capitals, or in how an accent is stored"
    remedy = "If they are the same patient's, give them one name, in the file names or in split.file"
    return [Finding("Images", "patients", "warning", what, remedy, alike)]


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _one_dicom_patient(count: int) -> Finding:
    what = f"all {count} DICOM files, in several splits, have one PatientID: it tells no patients apart"
    remedy = "If they are of one patient, keep them in one split; else look at what exported them"
    return Finding("Images", "patients", "warning", what, remedy)


def _one_each(site: OpenedSite, data: SiteData, paths: Sequence[Path]) -> list[Finding]:
    """Where every image is a patient, names that begin alike say that some patients have several."""
    in_lq, in_hq = _patients(data)
    if len(in_lq | in_hq) < sum(len(samples) for splits in (data.lq, data.hq) for samples in splits.values()):
        return []
    alike: set[Path] = set()
    for folder in (site.config.images.lq, site.config.images.hq):
        within = [path for path in paths if folder is not None and path.is_relative_to(folder)]
        groups = _grouped((beginning, path) for path in within for beginning in _beginnings(path.stem))
        # What all names begin with, such as that of a device, tells no patients apart.
        alike |= {path for same in groups.values() if 1 < len(same) < len(within) for path in same}
    if not alike:
        return []
    what = f"every image is a patient of its own, although {len(alike)} have names that begin alike"
    return [Finding("Images", "patients", "warning", what, _REMEDY, site.names(sorted(alike)))]


def _beginnings(name: str) -> list[str]:
    """Return what a name begins with, up to the end of each part but the last."""
    return [name[: end.start()] for end in _PARTS_END.finditer(name) if end.start()]


def _divided_folders(site: OpenedSite, split_of: dict[Path, str]) -> list[Finding]:
    groups = _grouped(
        (folder.as_posix(), split)
        for path, split in split_of.items()
        for folder in Path(*Path(site.name(path)).parts[1:]).parents
        if folder.name
    )
    divided = {folder: set(splits) for folder, splits in groups.items() if len(set(splits)) > 1}
    if not divided:
        return []
    what = (
        f"images of {len(divided)} sub-folders are in several splits: right only if each holds many patients"
    )
    files = tuple(f"{folder} ({', '.join(sorted(splits))})" for folder, splits in sorted(divided.items()))
    return [Finding("Images", "patients", "warning", what, _REMEDY, files)]


def _grouped(pairs: Iterable[tuple[_Key, _Member]]) -> dict[_Key, list[_Member]]:
    groups: defaultdict[_Key, list[_Member]] = defaultdict(list)
    for key, member in pairs:
        groups[key].append(member)
    return groups
