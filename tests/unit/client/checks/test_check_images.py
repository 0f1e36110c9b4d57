"""Images, masks and twins: every finding at a site that really is so."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from client.checks.page import as_text
from tests.unit.client.checks.hospital import (
    found,
    make_hospital,
    make_masks,
    mistakes,
    offline,
    picture,
    save,
    write_site_file,
)


def test_a_whole_site_has_no_problem(tmp_path: Path) -> None:
    examination = offline(make_hospital(tmp_path))
    assert examination.exit_code == 0
    assert {finding.state for finding in examination.findings if finding.group == "Images"} == {"ok"}
    assert found(examination, "LQ images").detail.startswith("7 to train, 1 to validate, 2 to test (7, 1, 2")
    assert examination.card is not None and examination.card.lq.train == 7


def test_unreadable_files_are_counted_and_named_and_allowed(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    (tmp_path / "lq/p00_1.png").write_bytes((tmp_path / "lq/p00_1.png").read_bytes()[:60])
    (tmp_path / "hq/q03_1.png").write_bytes(b"")
    examination = offline(file)
    finding = found(examination, "unreadable")
    assert finding.state == "warning" and finding.detail.startswith("2 files")
    assert [line.split(":")[0] for line in finding.files] == ["lq/p00_1.png", "hq/q03_1.png"]
    assert examination.exit_code == 0


def test_all_mistakes_of_the_folders_are_told_at_once(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", masks: masks, twins: twins")
    make_masks(tmp_path)
    save(tmp_path / "masks/stranger_1.png", picture(1, (20, 24)))
    save(tmp_path / "masks/p01_1.png", picture(1, (10, 12)))
    examination = offline(file)
    told = "\n".join(f"{finding.detail} {finding.remedy}" for finding in mistakes(examination))
    assert "stranger_1.png: has no LQ image" in told
    assert "is 12 x 10 pixels" in told
    assert "twins is missing" in told
    assert examination.exit_code == 11 and examination.card is None


def test_a_missing_hq_folder_is_a_problem(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    shutil.rmtree(tmp_path / "hq")
    examination = offline(file)
    assert "hq is missing" in mistakes(examination)[0].detail
    assert examination.exit_code == 11


def test_coloured_images_at_a_grey_site_are_a_problem(tmp_path: Path) -> None:
    make_hospital(tmp_path)
    examination = offline(write_site_file(tmp_path, channels=1))
    assert any("coloured" in finding.detail for finding in mistakes(examination))
    assert examination.exit_code == 11


def test_grey_images_at_a_colour_site_are_a_warning(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    save(tmp_path / "lq/p02_1.png", picture(2, (20, 24)))
    finding = found(offline(file), "colours")
    assert finding.state == "warning" and finding.files == ("lq/p02_1.png",)


def test_small_images_are_a_note(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    save(tmp_path / "lq/p02_1.png", picture(2, (300, 384, 3)))
    finding = found(offline(file), "sizes")
    assert finding.state == "ok" and "sides of 20 to 384 pixels" in finding.detail
    assert "19 of 20 are smaller" in finding.detail


def test_pictures_of_one_colour_are_named_and_are_no_leak(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    save(tmp_path / "lq/p02_1.png", np.zeros((20, 24, 3), np.uint8))
    save(tmp_path / "hq/q02_1.png", np.zeros((20, 24, 3), np.uint8))
    examination = offline(file)
    assert found(examination, "empty pictures").files == ("hq/q02_1.png", "lq/p02_1.png")
    assert found(examination, "leaks").state == "ok"


def test_nobody_to_test_on_is_a_warning(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, more="split: {validation: 0.2, test: 0}\n")
    finding = found(offline(file), "LQ images")
    assert finding.state == "warning" and "cannot help" in finding.detail


def test_fewer_images_than_the_policy_wants_are_a_problem(tmp_path: Path) -> None:
    examination = offline(make_hospital(tmp_path, more="policy: {minimum_images: 8}\n"))
    assert found(examination, "LQ images").state == "problem"
    assert "policy.minimum_images is 8" in found(examination, "HQ images").detail
    assert examination.exit_code == 11


def test_images_without_mask_and_masks_that_say_nothing(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", masks: masks")
    make_masks(tmp_path)
    (tmp_path / "masks/p00_1.png").unlink()
    save(tmp_path / "masks/p01_1.png", np.zeros((20, 24), np.uint8))
    save(tmp_path / "masks/p02_1.png", np.full((20, 24), 255, np.uint8))
    examination = offline(file)
    assert found(examination, "masks").files == ("lq/p00_1.png",)
    assert found(examination, "masks").state == "warning"
    assert found(examination, "empty masks").files == ("masks/p01_1.png",)
    assert found(examination, "full masks").files == ("masks/p02_1.png",)
    assert examination.exit_code == 0


def test_fewer_masks_than_the_policy_wants_images_are_told(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", masks: masks", more="policy: {minimum_images: 7}\n")
    make_masks(tmp_path)
    for number in range(1, 10, 2):
        (tmp_path / f"masks/p{number:02d}_1.png").unlink()
    finding = found(offline(file), "masks")
    assert finding.state == "warning"
    assert "policy.minimum_images is 7, so nothing of phase cooperate would leave" in finding.detail
    assert "Or lower policy.minimum_images" in finding.remedy


def test_masks_of_several_labels_are_a_problem(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", masks: masks")
    make_masks(tmp_path)
    labels = np.zeros((20, 24), np.uint8)
    labels[2:8, 2:8], labels[12:18, 2:8] = 1, 2
    save(tmp_path / "masks/p03_1.png", labels)
    examination = offline(file)
    (finding,) = mistakes(examination)
    assert "p03_1.png: holds more than two values" in finding.detail
    assert examination.exit_code == 11


def test_a_name_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    os.rename(tmp_path / "lq/p03_1.png", os.fsencode(tmp_path / "lq") + b"/M\xfcller_1.png")
    examination = offline(file)
    finding = found(examination, "file names")
    assert (finding.state, finding.files) == ("warning", (r"lq/M\xfcller_1.png",))
    assert examination.exit_code == 0
    assert r"lq/M\xfcller_1.png" in as_text(examination, colour=False).encode().decode()


def test_masks_for_every_image_are_well(tmp_path: Path) -> None:
    file = make_hospital(tmp_path, folders=", masks: masks")
    make_masks(tmp_path)
    finding = found(offline(file), "masks")
    assert (finding.state, finding.detail) == ("ok", "10 of 10 LQ images have a mask")


def test_missing_twins_and_twins_that_are_no_cleaner(tmp_path: Path) -> None:
    rows = [f"lq/p{i:02d}_1.png,p{i:02d},{'test' if i < 3 else 'train'}" for i in range(10)]
    rows += [f"hq/q{i:02d}_1.png,q{i:02d},train" for i in range(10)]
    (tmp_path / "split.csv").write_text("\n".join(["file,patient,split", *rows]) + "\n")
    file = make_hospital(tmp_path, folders=", twins: twins", more="split: {file: split.csv}\n")
    save(tmp_path / "twins/p00_1.png", picture(700))
    save(tmp_path / "twins/p01_1.png", picture(1))
    examination = offline(file)
    assert found(examination, "twins").detail.startswith("2 of 3 LQ images")
    assert found(examination, "twins").files == ("lq/p02_1.png",)
    assert found(examination, "equal twins").files == ("lq/p01_1.png",)


def test_a_site_without_hq_images_is_told_what_it_takes_part_in(tmp_path: Path) -> None:
    file = make_hospital(tmp_path)
    file.write_text(file.read_text().replace(", hq: hq", ""))
    examination = offline(file)
    assert examination.exit_code == 0 and examination.hq_images == 0
    assert found(examination, "HQ images").detail == "none: the site file names no folder of them"
    told = found(examination, "takes part")
    assert told.state == "ok" and "no HQ images" in told.detail and "no masks and no grades" in told.detail
    assert examination.card is not None and examination.card.hq.total == 0
