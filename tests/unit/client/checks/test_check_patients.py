"""Patients: one of them under two names, or images of one in two splits, is never called well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from client.checks.examination import Examination
from client.checks.finding import Finding
from tests.unit.client.checks.hospital import found, make_hospital, mistakes, offline, picture, save
from tests.unit.data.test_dicom import write_dicom


def with_images(root: Path, names: Sequence[str], more: str = "") -> Path:
    """Write a hospital with these LQ images alone."""
    file = make_hospital(root, more=more)
    for path in (root / "lq").iterdir():
        path.unlink()
    for number, name in enumerate(names):
        save(root / "lq" / name, picture(200 + number))
    return file


def warned(examination: Examination) -> Finding:
    finding = found(examination, "patients")
    assert finding.state == "warning" and finding.remedy
    assert examination.exit_code == 0
    return finding


@pytest.mark.parametrize("name", ["{:04d}-{}.png", "{:04d} {}.png", "{:04d}{}.png", "P-{:04d}-v1-{}.png"])
def test_two_eyes_that_count_as_two_patients_are_told(tmp_path: Path, name: str) -> None:
    file = with_images(tmp_path, [name.format(n, eye) for n in range(6) for eye in ("OD", "OS")])
    finding = warned(offline(file))
    assert "every image is a patient of its own, although 12 have names that begin alike" in finding.detail
    assert finding.files[0] == f"lq/{name.format(0, 'OD')}"


@pytest.mark.parametrize("name", ["p{:02d}_1.png", "IMG-{:04d}.png", "{:x}f{:02d}e.png"])
def test_one_image_a_patient_is_well(tmp_path: Path, name: str) -> None:
    more = "split: {patient_pattern: '^(?P<patient>.+)$'}\n" if name.startswith("IMG") else ""
    examination = offline(with_images(tmp_path, [name.format(n, 3 * n) for n in range(10)], more))
    assert found(examination, "patients").state == "ok"


def test_sub_folders_in_two_splits_are_told(tmp_path: Path) -> None:
    names = [f"patient{n:02d}/{eye}_{n}.png" for n in range(6) for eye in ("OD", "OS")]
    finding = warned(offline(with_images(tmp_path, names)))
    assert "images of 6 sub-folders are in several splits" in finding.detail
    assert finding.files[0] == "patient00 (test, train)"


def test_sub_folders_that_are_patients_by_the_pattern_are_well(tmp_path: Path) -> None:
    names = [f"patient{n:02d}/{eye}_{n}.png" for n in range(6) for eye in ("OD", "OS")]
    more = "split: {patient_pattern: '^(?P<patient>[^/_]+)[/_]'}\n"
    finding = found(offline(with_images(tmp_path, names, more)), "patients")
    assert (finding.state, finding.detail) == ("ok", "16, each in one split")


@pytest.mark.parametrize(("one", "other"), [("p3", "P3"), ("Mu\u0308ller", "M\u00fcller")])
def test_names_that_differ_only_in_spelling_are_told(tmp_path: Path, one: str, other: str) -> None:
    names = [f"{one}_a.png", f"{other}_b.png", *(f"x{n}_1.png" for n in range(8))]
    finding = warned(offline(with_images(tmp_path, names)))
    assert finding.files == (" = ".join(sorted((one, other))),)


def dicom_hospital(root: Path, owner_of: Callable[[int], str]) -> Path:
    file = with_images(root, ())
    for number in range(10):
        write_dicom(root / f"lq/1.2.{number % 3}.{number}.dcm", picture(number), PatientID=owner_of(number))
    return file


def test_one_dicom_patient_in_two_splits_is_a_problem_and_never_named(tmp_path: Path) -> None:
    examination = offline(dicom_hospital(tmp_path, lambda number: f"secret{number // 2}"))
    assert mistakes(examination) and examination.exit_code == 11
    for finding in mistakes(examination):
        assert "have one PatientID and are in 2 splits" in finding.detail
        assert "secret" not in str(finding)


def test_dicom_patients_of_their_own_are_well_however_the_files_are_named(tmp_path: Path) -> None:
    assert found(offline(dicom_hospital(tmp_path, str)), "patients").state == "ok"


def test_dicom_files_that_all_have_one_patient_are_told(tmp_path: Path) -> None:
    finding = warned(offline(dicom_hospital(tmp_path, lambda number: "anonymous")))
    assert "all 10 DICOM files, in several splits, have one PatientID" in finding.detail
    assert "anonymous" not in str(finding)
