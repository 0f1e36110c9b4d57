from __future__ import annotations

from pathlib import Path

import pytest

from hqgnet.data.grades import LEVELS, read_grades, unmatched_lines
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError
from tests.unit.data.site_folders import make_graded_site, make_site, write_grades


def images(root: Path, count: int = 6) -> list[Path]:
    return [root / f"images/lq/p{number}.png" for number in range(count)]


def test_images_have_the_grades_of_their_lines(tmp_path: Path) -> None:
    lq = images(tmp_path)
    file = write_grades(
        tmp_path, "images/lq/p3.png,3", " ./images/lq/../lq/p0.png , 0 ", f"{lq[1]},2", "images/lq/p2.png,"
    )
    assert read_grades(file, lq, lq[:4]) == {lq[3]: 3, lq[0]: 0, lq[1]: 2}
    assert unmatched_lines(file, lq) == (0, 4)


def test_other_columns_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    lq = images(tmp_path, 1)
    file = tmp_path / "grades.csv"
    file.write_bytes("\ufeffreader,grade,file\r\nDr Müller,1,images/lq/p0.png\r\n".encode())
    assert read_grades(file, lq, lq) == {lq[0]: 1}


def test_every_mistake_is_told(tmp_path: Path) -> None:
    lq = images(tmp_path)
    file = write_grades(
        tmp_path,
        "images/lq/p0.png,1",
        "images/lq/stranger.png,1",
        "images/hq/p0.png,1",
        "images/lq/p0.png,2",
        "images/lq/p1.png,4",
        "images/lq/p2.png,-1",
        "images/lq/p3.png,1.0",
        "images/lq/p3.png,severe",
        ",",
    )
    with pytest.raises(DataError) as caught:
        read_grades(file, lq, lq[:5])
    problems = caught.value.problems
    assert all(problem.remedy for problem in problems)
    assert [(p.where.removeprefix(str(file)), p.what) for p in problems] == [
        (": line 3", "'images/lq/stranger.png' is not one of the site's LQ images"),
        (": line 4", "'images/hq/p0.png' is not one of the site's LQ images"),
        (": line 5", "'images/lq/p0.png' stands twice"),
        (": line 6", "grade '4' of 'images/lq/p1.png' is none of 0, 1, 2, 3"),
        (": line 7", "grade '-1' of 'images/lq/p2.png' is none of 0, 1, 2, 3"),
        (": line 8", "grade '1.0' of 'images/lq/p3.png' is none of 0, 1, 2, 3"),
        (": line 9", "'images/lq/p3.png' stands twice"),
        (": line 9", "grade 'severe' of 'images/lq/p3.png' is none of 0, 1, 2, 3"),
        (": line 10", "'' is not one of the site's LQ images"),
        ("", f"does not name {lq[4]}, which is to be trained on"),
    ]
    assert unmatched_lines(file, lq) == (3, 9)


@pytest.mark.parametrize("grade", ["٣", "²", "03", "1e0", "1 1", "None"])
def test_what_python_might_take_for_a_number_is_no_grade(tmp_path: Path, grade: str) -> None:
    lq = images(tmp_path, 1)
    with pytest.raises(DataError, match="is none of 0, 1, 2, 3"):
        read_grades(write_grades(tmp_path, f"images/lq/p0.png,{grade}"), lq, lq)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "grades.csv: is missing. Check images.grades"),
        (b"image,grade\n", "has no column file. Its first line must be file,grade"),
        (b"", "has no column file, grade"),
        (b"file,grade\nimages/lq/p0.png,\xff\n", "cannot be read as CSV"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "grades.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_grades(file, images(tmp_path), ())


def test_a_site_knows_the_grades_of_its_images(tmp_path: Path) -> None:
    site = SiteData.open(make_graded_site(tmp_path, {number: number % LEVELS for number in range(10)}))
    assert site.has_grades and not site.has_masks
    for split, samples in site.lq.items():
        assert [sample.grade for sample in samples] == [int(s.patient[1:]) % LEVELS for s in samples]
        items = list(site.evaluation_items(split, 24))
        assert [item.grade for item in items] == [sample.grade for sample in samples]
    assert all(sample.grade is None for samples in site.hq.values() for sample in samples)


def test_a_site_without_grades(tmp_path: Path) -> None:
    site = SiteData.open(make_site(tmp_path))
    assert not site.has_grades
    assert next(site.evaluation_items("train", 24)).grade is None


def test_only_images_to_train_on_must_be_named(tmp_path: Path) -> None:
    plain = SiteData.open(make_site(tmp_path))
    train = [int(sample.patient[1:]) for sample in plain.lq["train"]]
    config = make_graded_site(tmp_path, {number: "" if number == train[0] else 1 for number in train})
    site = SiteData.open(config)
    assert [sample.grade for sample in site.lq["train"]] == [None, *[1] * (len(train) - 1)]
    assert site.has_grades and all(sample.grade is None for sample in site.lq["test"])
    config = make_graded_site(tmp_path, dict.fromkeys(train[2:], 1))
    with pytest.raises(DataError) as caught:
        SiteData.open(config)
    assert [problem.what.split(",")[0] for problem in caught.value.problems] == [
        f"does not name {tmp_path}/images/lq/p{number:02d}_lq.png" for number in train[:2]
    ]
    # A file that cannot be read is left out of training, so its line may be missing.
    for number in train[:2]:
        (tmp_path / f"images/lq/p{number:02d}_lq.png").write_bytes(b"")
    assert len(SiteData.open(config).skipped) == 2


def test_a_site_graded_for_judging_alone_has_no_grades_to_train_on(tmp_path: Path) -> None:
    test = {int(sample.patient[1:]) for sample in SiteData.open(make_site(tmp_path)).lq["test"]}
    site = SiteData.open(make_graded_site(tmp_path, {n: 2 if n in test else "" for n in range(10)}))
    assert not site.has_grades
    assert [sample.grade for sample in site.lq["test"]] == [2, 2]


def test_mistakes_of_grades_are_told_with_all_others(tmp_path: Path) -> None:
    config = make_graded_site(tmp_path, dict.fromkeys(range(10), 7), masks=True)
    (tmp_path / "masks/p03_lq.png").rename(tmp_path / "masks/stranger.png")
    with pytest.raises(DataError) as caught:
        SiteData.open(config)
    assert len(caught.value.problems) == 11
    # Without LQ images their folder is the only thing to say.
    for path in (tmp_path / "images/lq").iterdir():
        path.unlink()
    with pytest.raises(DataError) as caught:
        SiteData.open(config)
    assert ["images.lq" in problem.where for problem in caught.value.problems] == [True]


def test_the_file_is_found_from_the_site_file_and_may_lie_among_the_images(tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "images/lq/grades.csv").write_text(
        "file,grade\n" + "".join(f"p{number:02d}_lq.png,1\n" for number in range(10))
    )
    text = (tmp_path / "site.yaml").read_text()
    (tmp_path / "site.yaml").write_text(
        text.replace("hq: images/hq", "hq: images/hq, grades: images/lq/grades.csv")
    )
    config = load_site_config(tmp_path / "site.yaml")
    assert config.images.grades == tmp_path / "images/lq/grades.csv"
    assert SiteData.open(config).has_grades
