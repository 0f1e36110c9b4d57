from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError
from hqgnet.exchange.data_card import DataCard
from tests.unit.data.site_folders import make_graded_site, make_site, picture, save


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> DataCard:
    root = tmp_path_factory.mktemp("site")
    config = make_site(root, masks=True)
    save(root / "images/hq/zz_big.png", picture(1, (40, 30, 3)))
    (root / "images/hq/zz_bad.png").write_bytes(b"x")
    return DataCard.of(SiteData.open(config))


def test_the_card_counts(card: DataCard) -> None:
    assert card.lq.model_dump() == {"train": 6, "validation": 2, "test": 2}
    assert card.hq.total == 11
    assert (card.patients, card.masks, card.twins, card.skipped) == (21, 10, 0, 1)
    assert (card.shortest_side, card.longest_side) == (20, 40)
    assert (card.has_masks, card.has_twins) == (True, False)


def test_the_card_names_no_file_and_no_patient(card: DataCard) -> None:
    text = card.to_json()
    assert not any(name in text for name in ("p00", "q00", "zz", ".png", "/", "images"))


def test_json_round_trip(card: DataCard) -> None:
    assert DataCard.from_json(card.to_json(), "the card") == card


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "../../etc"),
        ("name", "x" * 64),
        ("name", "site-1\n"),
        ("modality", "mri"),
        ("channels", 2),
        ("lq.train", -1),
        ("lq.train", 1.5),
        ("lq.train", "6"),
        ("lq.train", 10**12),
        ("lq.extra", 1),
        ("patients", 10**6),
        ("masks", 11),
        ("twins", 3),
        ("has_masks", 1),
        ("shortest_side", 0),
        ("longest_side", 3),
        ("files", ["p00_lq.png"]),
    ],
)
def test_a_card_from_outside_is_checked(card: DataCard, path: str, value: Any) -> None:
    mapping = json.loads(card.to_json())
    *parents, key = path.split(".")
    inner = mapping
    for parent in parents:
        inner = inner[parent]
    inner[key] = value
    with pytest.raises(ConfigurationError, match="the card"):
        DataCard.from_json(json.dumps(mapping), "the card")


def test_small_counts_are_hidden_and_named(card: DataCard) -> None:
    assert "hidden" not in card.to_json()
    assert card.hiding(1) == card and card.hiding(1).to_json() == card.to_json()
    hidden = card.hiding(3)
    assert hidden.hidden == ("lq.validation", "lq.test", "skipped")
    assert hidden.lq.model_dump() == {"train": 6, "validation": 0, "test": 0}
    assert (hidden.skipped, hidden.patients, hidden.masks, hidden.twins) == (0, 21, 10, 0)
    assert DataCard.from_json(hidden.to_json(), "the card") == hidden
    assert hidden.hiding(3) == hidden
    # What the site can do is told, though the number of masks is not.
    fewest = card.hiding(1000)
    assert (fewest.masks, fewest.has_masks, fewest.lq.total, fewest.patients) == (0, True, 0, 0)
    assert "twins" not in fewest.hidden and not fewest.has_twins  # a true 0 stays told
    assert DataCard.from_json(fewest.to_json(), "the card") == fewest


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> DataCard:
    """Ten LQ images: four of level 0, three of 1, none of 2, two of 3, one without a grade."""
    grades = dict(enumerate([0, 0, 0, 0, 1, 1, 1, 3, 3, ""]))
    return DataCard.of(SiteData.open(make_graded_site(tmp_path_factory.mktemp("graded"), grades)))


def test_the_card_tells_grades_as_counts(graded: DataCard, card: DataCard) -> None:
    assert (graded.has_grades, graded.graded, graded.levels) == (True, 9, (4, 3, 0, 2))
    assert DataCard.from_json(graded.to_json(), "the card") == graded
    # Of a site without grades the card is the one that it was before there were any.
    assert (card.has_grades, card.graded, card.levels) == (False, 0, ())
    assert not {"has_grades", "graded", "levels"} & set(json.loads(card.to_json()))


def test_a_small_level_hides_all_levels(graded: DataCard) -> None:
    assert graded.hiding(2) == graded  # a true 0 stays told
    hidden = graded.hiding(3)
    assert (hidden.graded, hidden.levels, hidden.has_grades) == (9, (), True)
    assert hidden.hidden == ("lq.validation", "lq.test", "hq.validation", "hq.test", "levels")
    fewest = graded.hiding(10)
    assert (fewest.graded, fewest.levels, fewest.has_grades) == (0, (), True)
    assert {"graded", "levels"} <= set(fewest.hidden)
    for less in (hidden, fewest):
        assert DataCard.from_json(less.to_json(), "the card") == less
    assert hidden.hiding(10) == fewest


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": [4, 3, 0, 3]},
        {"levels": [4, 3, 2]},
        {"levels": [4, 3, 0, 2, 0]},
        {"levels": ["4", 3, 0, 2]},
        {"levels": [4.0, 3, 0, 2]},
        {"levels": [5, 5, 0, -1]},
        {"levels": []},
        {"levels": [4, 3, 0, 2], "hidden": ["levels"]},
        {"levels": [4, 3, 0, 2], "graded": 0, "hidden": ["graded"]},
        {"graded": 0, "levels": []},
        {"graded": 0, "levels": [], "has_grades": False, "hidden": ["levels"]},
        {"graded": 11, "levels": [6, 3, 0, 2]},
        {"has_grades": 1},
        {"grades": {"p00_lq.png": 3}},
    ],
)
def test_grades_of_a_card_from_outside_are_checked(graded: DataCard, changes: dict[str, Any]) -> None:
    mapping = json.loads(graded.to_json()) | changes
    with pytest.raises(ConfigurationError, match="the card"):
        DataCard.from_json(json.dumps(mapping), "the card")


@pytest.mark.parametrize(
    "hidden", [["lq.train"], ["twins"], ["skipped", "skipped"], ["patients.names"], "skipped", [1]]
)
def test_a_hidden_count_cannot_be_told(card: DataCard, hidden: Any) -> None:
    mapping = json.loads(card.to_json()) | {"skipped": 0, "hidden": hidden}
    with pytest.raises(ConfigurationError, match="the card"):
        DataCard.from_json(json.dumps(mapping), "the card")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 10000, " " * 20000, '{"name": NaN}'])
def test_what_is_no_card(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the card"):
        DataCard.from_json(text, "the card")


def test_configuration_and_card_load_without_torch() -> None:
    modules = "hqgnet.exchange.data_card, hqgnet.data.site_config, hqgnet.data.splits, hqgnet.files"
    code = f"import sys, {modules}; sys.exit(bool({{'torch', 'monai', 'PIL'}} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
