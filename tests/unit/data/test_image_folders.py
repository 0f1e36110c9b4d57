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


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    for name in ("IMG.png", "._IMG.png", ".Trash/old.png", "eye/.thumbnails/IMG.png", "lost+found/a.png"):
        save(tmp_path / name, picture(1))
    assert find_images(tmp_path, "images.lq") == [tmp_path / "IMG.png"]


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "archive/2021/a.png", picture(1))
    save(tmp_path / "lq/b.png", picture(2))
    (tmp_path / "lq/old").symlink_to(tmp_path / "archive")
    assert find_images(tmp_path / "lq", "images.lq") == [
        tmp_path / "lq/b.png",
        tmp_path / "lq/old/2021/a.png",
    ]


@pytest.mark.parametrize(("link", "target"), [("eye/up", "."), ("z", "eye")])
def test_a_folder_that_is_reached_twice_is_told(tmp_path: Path, link: str, target: str) -> None:
    save(tmp_path / "eye/a.png", picture(1))
    (tmp_path / link).symlink_to(tmp_path / target)
    problem = refused(tmp_path)
    assert problem.what.startswith(f"folder {tmp_path / link} is folder {tmp_path / target} by another way")


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "batch2").symlink_to(tmp_path / "not mounted")
    assert f"{tmp_path / 'batch2'} is a link that leads nowhere" in refused(tmp_path).what


def test_every_sub_folder_that_may_not_be_entered_is_told() -> None:
    with open_folder() as root:
        for name in ("a/a.png", "b/b.png", "c.png"):
            save(root / name, picture(1))
        with closed(root / "a"), closed(root / "b"), nobody(), pytest.raises(DataError) as caught:
            find_images(root, "images.lq")
    assert [problem.what for problem in caught.value.problems] == [
        f"folder {root / name} may not be entered by this user (Permission denied)" for name in ("a", "b")
    ]


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
