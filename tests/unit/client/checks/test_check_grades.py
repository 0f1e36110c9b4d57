"""Grades: who has one, which lines have no image, which levels are absent; and nothing of it leaves."""

from __future__ import annotations

from pathlib import Path

from client.checks.leaving import what_leaves
from hqgnet.data.site_config import load_site_config
from tests.unit.client.checks.hospital import found, make_hospital, mistakes, offline


def make_graded_hospital(root: Path, *lines: str, more: str = "") -> Path:
    (root / "grades.csv").write_text("\n".join(["file,grade", *lines]) + "\n")
    return make_hospital(root, folders=", grades: grades.csv", more=more)


def line(number: int, grade: int | str) -> str:
    return f"lq/p{number:02d}_1.png,{grade}"


def test_a_site_without_grades_is_well(tmp_path: Path) -> None:
    examination = offline(make_hospital(tmp_path))
    assert found(examination, "grades").state == "ok"
    assert examination.card is not None and not examination.card.has_grades
    assert "grade" not in what_leaves(load_site_config(tmp_path / "site.yaml"), 7)[0]


def test_graded_images_are_counted_by_level(tmp_path: Path) -> None:
    examination = offline(make_graded_hospital(tmp_path, *(line(n, n % 4) for n in range(10))))
    finding = found(examination, "grades")
    detail = "10 of 10 LQ images have a grade (level 0: 3, level 1: 3, level 2: 2, level 3: 2)"
    assert (finding.state, finding.detail) == ("ok", detail)
    assert not [finding for finding in examination.findings if finding.title == "absent levels"]
    assert found(examination, "leaks").state == "ok"
    assert examination.exit_code == 0
    assert examination.card is not None
    assert (examination.card.graded, examination.card.levels) == (10, (3, 3, 2, 2))
    assert "of images by grade" in what_leaves(load_site_config(tmp_path / "site.yaml"), 7)[0]


def test_images_without_a_grade_and_absent_levels_are_warnings(tmp_path: Path) -> None:
    lines = [line(number, 1 + number % 3) for number in range(9)]
    examination = offline(make_graded_hospital(tmp_path, *lines, line(9, "")))
    finding = found(examination, "grades")
    assert finding.state == "warning" and finding.files == ("lq/p09_1.png",)
    assert finding.detail.startswith("9 of 10 LQ images have a grade (level 0: 0, level 1: 3")
    assert found(examination, "absent levels").detail == "no LQ image to train on is of level 0"
    assert found(examination, "absent levels").state == "warning"
    assert examination.exit_code == 0


def test_lines_without_an_image_are_counted_and_named(tmp_path: Path) -> None:
    lines = [line(number, 2) for number in range(10)]
    examination = offline(make_graded_hospital(tmp_path, *lines, "p00_1.png,1", "hq/q00_1.png,1"))
    finding = found(examination, "grades")
    assert (finding.state, finding.detail) == ("problem", "2 of 12 lines name no LQ image")
    assert [("'p00_1.png'" in f.detail, "'hq/q00_1.png'" in f.detail) for f in mistakes(examination)] == [
        (True, False),
        (False, True),
    ]
    assert examination.exit_code == 11 and examination.card is None


def test_other_mistakes_are_told_once(tmp_path: Path) -> None:
    examination = offline(make_graded_hospital(tmp_path, *(line(number, 5) for number in range(10))))
    assert len(mistakes(examination)) == 10
    assert not [finding for finding in examination.findings if finding.title == "grades"]
    (tmp_path / "grades.csv").unlink()
    examination = offline(tmp_path / "site.yaml")
    [mistake] = mistakes(examination)
    assert "grades.csv: is missing" in mistake.detail and "images.grades" in mistake.remedy
    assert examination.exit_code == 11


def test_small_levels_are_not_on_the_card(tmp_path: Path) -> None:
    more = "policy: {smallest_count: 3, minimum_images: 3}\n"
    examination = offline(make_graded_hospital(tmp_path, *(line(n, n % 4) for n in range(10)), more=more))
    assert examination.card is not None and examination.card.has_grades
    assert (examination.card.graded, examination.card.levels) == (10, ())
    assert "levels" in examination.card.hidden
