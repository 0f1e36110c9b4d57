from __future__ import annotations

from pathlib import Path

import pytest

from hqgnet.data.image_folders import find_images
from hqgnet.data.reading import read_image
from hqgnet.errors import DataError, Problem
from tests.other_user import closed, nobody, open_folder
from tests.unit.data.site_folders import picture, save


def refused(folder: Path) -> Problem:
    with pytest.raises(DataError) as caught:
        find_images(folder, "images.lq")
    (problem,) = caught.value.problems
    assert problem.where == "images.lq" and problem.remedy
    return problem


def test_images_stand_in_the_order_of_their_names_with_sub_folders(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.PNG", ".hidden.png"):
        save(tmp_path / name, picture(1))
    assert find_images(tmp_path, "images.lq") == [tmp_path / "a/z.PNG", tmp_path / "b.png"]


def test_a_folder_that_is_missing_is_a_file_or_holds_no_image(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    assert "is missing" in refused(tmp_path / "none").what
    assert "is missing" in refused(tmp_path / "file").what
    assert "is missing" in refused(tmp_path / "file/lq").what
    assert "holds no image (1 other files)" in refused(tmp_path).what


@pytest.mark.parametrize("shut", ["", "above"])
def test_a_folder_that_may_not_be_entered_is_not_called_missing_or_empty(shut: str) -> None:
    with open_folder() as root:
        folder = root / "above/lq"
        save(folder / "a.png", picture(1))
        with closed(root / shut if shut else folder), nobody():
            problem = refused(folder)
    assert problem.what == f"folder {folder} may not be entered by this user (Permission denied)"
    assert "chmod" in problem.remedy


def test_an_image_that_may_not_be_read_is_not_called_damaged() -> None:
    with open_folder() as root:
        path = save(root / "a.png", picture(1))
        path.chmod(0o000)
        with nobody(), pytest.raises(DataError) as caught:
            read_image(path)
    (problem,) = caught.value.problems
    assert problem.what == "may not be read by this user" and "chmod" in problem.remedy


def test_a_path_that_leads_in_a_circle_is_told(tmp_path: Path) -> None:
    (tmp_path / "lq").symlink_to(tmp_path / "lq")
    assert "symbolic links" in refused(tmp_path / "lq").what
