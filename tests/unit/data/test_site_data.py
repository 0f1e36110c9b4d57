from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hqgnet.data.reading import read_image, read_mask
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError, Problem
from tests.unit.data.site_folders import make_site, picture, save, write_yaml
from tests.unit.data.test_dicom import write_dicom


def problems(config: SiteConfig) -> list[Problem]:
    with pytest.raises(DataError) as caught:
        SiteData.open(config)
    assert all(problem.remedy for problem in caught.value.problems)
    return list(caught.value.problems)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def test_a_whole_site(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True, twins=True)
    site = SiteData.open(config)
    assert {split: len(found) for split, found in site.lq.items()} == {"train": 6, "validation": 2, "test": 2}
    assert {split: len(found) for split, found in site.hq.items()} == {"train": 6, "validation": 2, "test": 2}
    assert site.has_masks
    assert site.has_twins
    assert site.skipped == ()
    assert site.size_range == (20, 24)
    for samples in site.lq.values():
        for sample in samples:
            assert sample.mask == tmp_path / "masks" / sample.path.name
            assert sample.twin == tmp_path / "twins" / sample.path.name
            assert sample.path.name.startswith(sample.patient)


def test_a_missing_folder_is_said_once_not_for_each_line_of_the_split(tmp_path: Path) -> None:
    make_site(tmp_path)
    names = [path.relative_to(tmp_path) for path in sorted((tmp_path / "images").rglob("*.png"))]
    rows = "".join(f"{name.as_posix()},{name.stem[:3]},train\n" for name in names)
    (tmp_path / "split.csv").write_text("file,patient,split\n" + rows)
    yaml = (tmp_path / "site.yaml").read_text()
    (tmp_path / "site.yaml").write_text(yaml[: yaml.index("split:")] + "split: {file: split.csv}\n")
    shutil.rmtree(tmp_path / "images/hq")
    [problem] = problems(load_site_config(tmp_path / "site.yaml"))
    assert "images.hq" in problem.where and "is missing" in problem.what


def test_sub_folders_hidden_files_and_other_files(tmp_path: Path) -> None:
    config = make_site(tmp_path, lq=4)
    save(tmp_path / "images/lq/eye/p90_x.PNG", picture(1))
    (tmp_path / "images/lq/.p91_x.png").write_bytes(b"left by a file manager")
    (tmp_path / "images/lq/notes.txt").write_text("text")
    site = SiteData.open(config)
    names = {sample.path.name for samples in site.lq.values() for sample in samples}
    assert names == {"p00_lq.png", "p01_lq.png", "p02_lq.png", "p03_lq.png", "p90_x.PNG"}
    assert site.skipped == ()


def test_images_without_mask_are_kept(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True)
    for number in range(0, 10, 2):
        (tmp_path / f"masks/p{number:02d}_lq.png").unlink()
    site = SiteData.open(config)
    samples = [sample for found in site.lq.values() for sample in found]
    assert len(samples) == 10
    assert sum(sample.mask is not None for sample in samples) == 5


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True, twins=True)
    shutil.rmtree(tmp_path / "images/hq")
    save(tmp_path / "masks/stranger.png", picture(1, (20, 24)))
    save(tmp_path / "masks/p03_lq.png", picture(1, (10, 24)))
    save(tmp_path / "twins/p04_lq.png", picture(1, (20, 23, 3)))
    found = problems(config)
    assert {
        (problem.where.removeprefix(f"{tmp_path}/"), problem.what.split(" ")[0]) for problem in found
    } == {
        ("site site-1: images.hq", "folder"),
        ("masks/stranger.png", "has"),
        ("masks/p03_lq.png", "is"),
        ("twins/p04_lq.png", "is"),
    }
    assert any("is 24 x 10 pixels" in problem.what and "24 x 20" in problem.what for problem in found)


@pytest.mark.parametrize("name", ["lq", "hq"])
def test_an_empty_set_is_an_error(tmp_path: Path, name: str) -> None:
    config = make_site(tmp_path)
    shutil.rmtree(tmp_path / "images" / name)
    (tmp_path / "images" / name).mkdir()
    (tmp_path / "images" / name / "readme.txt").write_text("x")
    (problem,) = problems(config)
    assert problem.where == f"site site-1: images.{name}"
    assert "holds no image (1 other files)" in problem.what


def test_a_site_whose_file_names_no_hq_folder_has_no_hq_images(tmp_path: Path) -> None:
    config = make_site(tmp_path)
    without = config.model_copy(update={"images": config.images.model_copy(update={"hq": None})})
    site = SiteData.open(without)
    assert (site.has_hq, set(site.hq.values())) == (False, {()})
    assert site.lq == SiteData.open(config).lq


def test_one_bad_image_among_many_is_named_and_skipped(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True)
    before = SiteData.open(config)
    bad = before.lq["train"][2].path
    cut(bad)
    site = SiteData.open(config)
    assert [problem.where for problem in site.skipped] == [str(bad)]
    # The draw of splits does not move for it.
    assert [s.path for s in site.lq["train"]] == [s.path for s in before.lq["train"] if s.path != bad]
    assert site.lq["test"] == before.lq["test"]
    assert site.hq == before.hq


def test_a_bad_mask_costs_the_mask_alone(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True)
    sample = SiteData.open(config).lq["train"][0]
    cut(sample.mask or tmp_path)
    site = SiteData.open(config)
    assert [problem.where for problem in site.skipped] == [str(sample.mask)]
    assert site.lq["train"][0].path == sample.path
    assert site.lq["train"][0].mask is None


def test_a_mask_of_several_labels_is_a_mistake_and_not_left_out(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True)
    labels = np.zeros((20, 24), np.uint8)
    labels[2:8, 2:8], labels[12:18, 2:8] = 1, 2
    path = save(tmp_path / "masks/p03_lq.png", labels)
    (problem,) = problems(config)
    assert problem.where == str(path) and "several labels" in problem.what


def dicom_site(root: Path, owner_of: Callable[[int], str]) -> SiteConfig:
    config = make_site(root, lq=0)
    for number in range(10):
        path = root / f"images/lq/1.2.{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dicom(path, picture(number), PatientID=owner_of(number))
    return config


def test_dicom_files_of_one_patient_in_two_splits_are_told_without_the_patient(tmp_path: Path) -> None:
    found = problems(dicom_site(tmp_path, lambda number: f"secret{number // 2}"))
    assert found and len(found) <= 5
    for problem in found:
        assert "2 DICOM files have one PatientID and are in 2 splits" in problem.what
        assert "secret" not in str(problem) and ".dcm in " in problem.what


@pytest.mark.parametrize("owner", [str, lambda number: "", lambda number: "anonymous"])
def test_patients_of_their_own_and_words_that_tell_nobody_apart_are_no_leak(
    tmp_path: Path, owner: Callable[[int], str]
) -> None:
    assert len(SiteData.open(dicom_site(tmp_path, owner)).lq["train"]) == 6


def test_a_name_that_is_not_utf_8_is_opened(tmp_path: Path) -> None:
    config = make_site(tmp_path)
    os.rename(tmp_path / "images/lq/p00_lq.png", os.fsencode(tmp_path / "images/lq") + b"/M\xfcller_1.png")
    assert sum(len(samples) for samples in SiteData.open(config).lq.values()) == 10


def test_a_set_of_only_bad_images_is_an_error(tmp_path: Path) -> None:
    config = make_site(tmp_path, hq=3)
    for path in (tmp_path / "images/hq").iterdir():
        cut(path)
    (problem,) = problems(config)
    assert "none of 3 images can be read" in problem.what
    assert "q00_hq.png" in problem.what


def test_coloured_images_at_a_grey_site(tmp_path: Path) -> None:
    make_site(tmp_path, lq=4, hq=4, channels=3)
    found = problems(write_yaml(tmp_path, channels=1))
    assert [problem.where for problem in found] == ["site site-1: images.lq", "site site-1: images.hq"]
    assert "4 of 4 images are coloured" in found[0].what
    assert "channels: 3" in found[0].remedy


def test_grey_images_in_three_equal_channels_suit_a_grey_site(tmp_path: Path) -> None:
    config = make_site(tmp_path, channels=1)
    save(tmp_path / "images/lq/p00_lq.png", np.dstack([picture(0, (20, 24))] * 3))
    item = next(SiteData.open(config).evaluation_items("train", 24))
    assert item.lq.shape == (1, 20, 24)


def test_grey_images_suit_a_colour_site(tmp_path: Path) -> None:
    make_site(tmp_path, channels=1)
    item = next(SiteData.open(write_yaml(tmp_path, channels=3)).evaluation_items("train", 24))
    assert item.lq.shape == (3, 20, 24)


def test_two_files_of_one_name_are_refused_where_masks_need_names(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True, twins=True)
    save(tmp_path / "images/lq/p03_lq.bmp", picture(3))
    (problem,) = problems(config)
    assert "p03_lq.bmp and p03_lq.png share the name p03_lq" in problem.what


def test_one_patient_cannot_be_split(tmp_path: Path) -> None:
    config = make_site(tmp_path, lq=0)
    for number in range(5):
        save(tmp_path / f"images/lq/drive_{number}.png", picture(number))
    (problem,) = problems(config)
    assert "all 5 LQ images are of one patient ('drive')" in problem.what


def test_evaluation_items_are_resized_together_and_unnamed(tmp_path: Path) -> None:
    site = SiteData.open(make_site(tmp_path, masks=True, twins=True))
    items = list(site.evaluation_items("test", 24))
    assert [item.index for item in items] == [0, 1]
    for item in items:
        assert item.mask is not None
        assert item.twin is not None
        assert torch.equal(item.lq, read_image(item.sample.path))
        assert torch.equal(item.mask, read_mask(item.sample.mask or Path()))
        assert torch.equal(item.twin, read_image(item.sample.twin or Path()))
    small = next(site.evaluation_items("test", 12))
    assert small.mask is not None
    assert small.twin is not None
    assert small.lq.shape[1:] == small.mask.shape[1:] == small.twin.shape[1:] == (10, 12)


def test_equal_folders_open_equally(tmp_path: Path) -> None:
    first, second = SiteData.open(make_site(tmp_path / "a")), SiteData.open(make_site(tmp_path / "b"))
    for split in ("train", "validation", "test"):
        assert [s.path.name for s in first.lq[split]] == [s.path.name for s in second.lq[split]]
