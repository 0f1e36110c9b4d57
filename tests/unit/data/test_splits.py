from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from hqgnet.data.site_config import ImageFolders, SplitConfig
from hqgnet.data.splits import SPLITS, assign_splits, draw
from hqgnet.errors import DataError

FOLDERS = ImageFolders(lq=Path("/site/lq"), hq=Path("/site/hq"))


def images(folder: str, patients: range, each: int = 2) -> list[Path]:
    return [Path(f"/site/{folder}/p{p:03d}_{eye}.png") for p in patients for eye in range(each)]


def test_no_patient_is_in_two_splits_and_shares_hold_for_both_sets() -> None:
    lq, hq = images("lq", range(50)), images("hq", range(40, 90))
    places = assign_splits(SplitConfig(validation=0.1, test=0.2, seed=3), lq, hq, FOLDERS)
    splits: dict[str, set[str]] = {}
    for place in places.values():
        splits.setdefault(place.patient, set()).add(place.split)
    assert len(splits) == 90
    assert all(len(found) == 1 for found in splits.values())
    for paths in (lq, hq):
        # 10 patients in both sets give 2 + 1, 40 in one give 8 + 4, of two images each.
        assert Counter(places[path].split for path in paths) == {"test": 20, "validation": 10, "train": 70}


def test_the_draw_is_the_documented_one_and_ignores_order() -> None:
    patients = [f"p{number}" for number in range(10)]
    ranked = sorted(patients, key=lambda patient: hashlib.sha256(f"7:{patient}".encode()).hexdigest())
    expected = dict(zip(ranked, ["test"] * 2 + ["validation"] + ["train"] * 7, strict=True))
    assert draw(patients, 0.1, 0.2, seed=7) == expected
    assert draw(patients[::-1], 0.1, 0.2, seed=7) == expected
    assert draw(patients, 0.1, 0.2, seed=8) != expected


@pytest.mark.parametrize("count", [3, 4, 7, 30])
@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.01, 0.01), (0.3, 0.69), (0.69, 0.3)])
def test_no_split_is_empty_from_three_patients_on(count: int, validation: float, test: float) -> None:
    dealt = draw([str(number) for number in range(count)], validation, test, seed=0)
    assert set(dealt.values()) == set(SPLITS)


def test_shares_are_rounded_up_without_float_noise() -> None:
    assert Counter(draw([str(n) for n in range(30)], 0.1, 0.1, 0).values())["test"] == 3
    assert set(draw(["a", "b"], 0.1, 0.2, 0).values()) == {"train", "test"}
    assert draw(["a"], 0.1, 0.2, 0) == {"a": "train"}
    assert set(draw([str(n) for n in range(9)], 0, 0, 0).values()) == {"train"}


def test_names_without_a_patient_are_all_reported() -> None:
    config = SplitConfig(patient_pattern=r"^(?P<patient>\d+)_")
    with pytest.raises(DataError) as caught:
        assign_splits(config, [Path("/s/1_a.png"), Path("/s/x.png")], [Path("/s/y.png")], FOLDERS)
    assert [problem.where for problem in caught.value.problems] == ["/s/x.png", "/s/y.png"]


def test_a_pattern_with_a_slash_is_matched_to_the_path_in_the_image_folder() -> None:
    paths = [Path(f"/site/lq/patient{n}/{eye}_{n}.png") for n in range(5) for eye in ("OD", "OS")]
    other = Path("/site/hq/patient3/OD_9.png")
    places = assign_splits(SplitConfig(patient_pattern="^(?P<patient>[^/]+)/"), paths, [other], FOLDERS)
    assert [places[path].patient for path in paths] == [path.parent.name for path in paths]
    assert places[other] == places[paths[6]] == places[paths[7]]
    by_name = assign_splits(SplitConfig(), paths, [other], FOLDERS)
    assert {by_name[path].patient for path in paths} == {"OD", "OS"}


def test_a_path_without_the_patient_is_told() -> None:
    config = SplitConfig(patient_pattern="^(?P<patient>[^/]+)/")
    with pytest.raises(DataError, match="its path does not say the patient"):
        assign_splits(config, [Path("/site/lq/a_1.png")], [], FOLDERS)


def test_a_name_that_is_not_utf_8_is_drawn_by_its_bytes() -> None:
    name = b"M\xfcller"
    patients = [os.fsdecode(name), "a", "M\u00fcller"]
    names = {os.fsdecode(name): name, "a": b"a", "M\u00fcller": "M\u00fcller".encode()}
    ranked = sorted(patients, key=lambda patient: hashlib.sha256(b"0:" + names[patient]).digest())
    assert draw(patients, 0, 0.2, seed=0) == dict(zip(ranked, ["test", "train", "train"], strict=True))


def test_split_file(tmp_path: Path) -> None:
    lq, hq = [tmp_path / "lq/a.png", tmp_path / "lq/b.png"], [tmp_path / "hq/a.png"]
    file = tmp_path / "split.csv"
    file.write_text(
        "\ufefffile,patient,split,note\nlq/a.png,1,train,x\nlq/b.png,2,test,\nhq/a.png,1,train,\n"
    )
    places = assign_splits(SplitConfig(file=file), lq, hq, FOLDERS)
    assert [(places[path].patient, places[path].split) for path in (*lq, *hq)] == [
        ("1", "train"),
        ("2", "test"),
        ("1", "train"),
    ]


def test_split_file_with_every_mistake(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d", "e")
    file = tmp_path / "split.csv"
    file.write_text(
        "file,patient,split\nlq/a.png,1,train\nlq/b.png,1,test\nlq/b.png,1,test\nlq/c.png,,train\n"
        "lq/d.png,3,tset\nlq/zz.png,4,train\n"
    )
    with pytest.raises(DataError) as caught:
        assign_splits(SplitConfig(file=file), [tmp_path / f"lq/{name}.png" for name in names], [], FOLDERS)
    text = str(caught.value)
    for says in (
        "line 4: 'lq/b.png' stands twice",
        "line 5: 'lq/c.png' has no patient",
        "line 6: split 'tset' is unknown",
        "line 7: 'lq/zz.png' is not one of",
        "patient '1' is in test and train",
        f"does not name {tmp_path}/lq/e.png",
    ):
        assert says in text
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize(("content", "says"), [(None, "is missing"), ("file,split\n", "no column patient")])
def test_split_file_that_is_none(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "split.csv").write_text(content)
    with pytest.raises(DataError, match=says):
        assign_splits(SplitConfig(file=tmp_path / "split.csv"), [], [], FOLDERS)
