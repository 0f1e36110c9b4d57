"""Leaks: equal pixels under other names and formats, patients in two places."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit.client.checks.hospital import found, make_hospital, mistakes, offline, picture, save


def split_file(root: Path, split_of: dict[str, str], patient_of: dict[str, str] | None = None) -> str:
    """Write a split: ``train`` unless said otherwise; return the line for the site file."""
    names = [
        f"{kind}/{kind_name}{number:02d}_1.png"
        for kind, kind_name in (("lq", "p"), ("hq", "q"))
        for number in range(10)
    ]
    patients = patient_of or {}
    rows = [f"{name},{patients.get(name, name[3:6])},{split_of.get(name, 'train')}" for name in names]
    (root / "split.csv").write_text("\n".join(["file,patient,split", *rows]) + "\n")
    return "split: {file: split.csv}\n"


def test_one_image_in_lq_and_hq_is_a_problem_in_whatever_format(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    Image.fromarray(picture(4)).save(tmp_path / "hq/q04_1.bmp")
    (tmp_path / "hq/q04_1.png").unlink()
    examination = offline(file)
    finding = found(examination, "same in LQ and HQ")
    assert finding.state == "problem" and finding.files == ("hq/q04_1.bmp = lq/p04_1.png",)
    assert examination.exit_code == 11


def test_a_grey_image_saved_as_rgb_and_with_16_bits_is_the_same(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    grey = picture(4, (20, 24))
    save(tmp_path / "lq/p04_1.png", np.repeat(grey[..., None], 3, axis=2))
    save(tmp_path / "hq/q04_1.png", grey.astype(np.uint16) * 257)
    assert found(offline(file), "same in LQ and HQ").files == ("hq/q04_1.png = lq/p04_1.png",)


def test_one_pixel_makes_another_image(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    changed = picture(4)
    changed[0, 0, 0] ^= 1
    save(tmp_path / "hq/q04_1.png", changed)
    assert found(offline(file), "leaks").state == "ok"


def test_one_image_in_train_and_test_under_two_patients_is_a_problem(tmp_path: Path) -> None:
    more = split_file(tmp_path, {"lq/p00_1.png": "test", "lq/p01_1.png": "validation"})
    file = make_hospital(tmp_path, more=more)
    shutil.copy(tmp_path / "lq/p00_1.png", tmp_path / "lq/p05_1.png")
    examination = offline(file)
    finding = found(examination, "same in two splits")
    assert finding.files == ("lq/p00_1.png (test) = lq/p05_1.png (train)",)
    assert finding.state == "problem" and examination.exit_code == 11


def test_copies_in_one_split_are_a_warning(tmp_path: Path) -> None:
    more = split_file(tmp_path, {"lq/p00_1.png": "test", "lq/p01_1.png": "validation"})
    file = make_hospital(tmp_path, more=more)
    shutil.copy(tmp_path / "lq/p05_1.png", tmp_path / "lq/p06_1.png")
    examination = offline(file)
    assert found(examination, "copies").files == ("lq/p05_1.png = lq/p06_1.png",)
    assert examination.exit_code == 0


def test_one_patient_in_two_splits_is_a_problem(tmp_path: Path) -> None:
    more = split_file(tmp_path, {"lq/p00_1.png": "test"}, {"lq/p00_1.png": "p01"})
    examination = offline(make_hospital(tmp_path, more=more))
    assert any("patient 'p01' is in test and train" in finding.detail for finding in mistakes(examination))
    assert examination.exit_code == 11


def test_a_patient_with_lq_and_hq_images_is_said_and_allowed(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    save(tmp_path / "hq/p03_2.png", picture(900))
    finding = found(offline(file), "patients")
    assert finding.state == "ok" and finding.detail.startswith(
        "20, each in one split; 1 with LQ and HQ images"
    )


def test_a_twin_that_is_an_hq_image_is_a_problem(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", twins: twins")
    save(tmp_path / "twins/p03_1.png", picture(105))
    finding = found(offline(file), "same in HQ and twins")
    assert finding.state == "problem" and finding.files == ("twins/p03_1.png = hq/q05_1.png",)


def test_leaks_are_told_although_something_else_is_wrong(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", masks: nowhere")
    save(tmp_path / "hq/q04_1.png", picture(4))
    examination = offline(file)
    assert mistakes(examination)
    assert found(examination, "same in LQ and HQ").state == "problem"
