"""Site folders: their layout, splits, twins and reproducibility."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from hqgnet.data.dealing import deal
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_writer import Quality, SiteImage, write_site
from hqgnet.data.synthetic.sites import MODALITIES, SyntheticSite, make_sites
from hqgnet.errors import ConfigurationError, DataError, OutputError

SMALL = {"size": 64, "train_lq": 5, "train_hq": 4, "validation_lq": 2, "test_lq": 3, "test_hq": 2}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(site: Path) -> list[dict[str, str]]:
    with (site / "split.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=list(MODALITIES))
def sites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    paths = make_sites(request.param, 2, 11, tmp_path_factory.mktemp("sites"), **SMALL)
    return [path.parent for path in paths]


def test_layout_is_what_a_site_file_says(sites: list[Path]) -> None:
    for number, site in enumerate(sites, start=1):
        config = load_site_config(site / "site.yaml")
        assert config.name == site.name == f"site-{number}"
        raw = yaml.safe_load((site / "site.yaml").read_text())
        assert raw["channels"] == MODALITIES[raw["modality"]].channels
        for name, place in config.images:
            if name != "grades":
                assert place.is_dir()
            else:
                assert (place is not None) == (raw["modality"] == "ccm")
        assert not [path for path in site.parent.iterdir() if path.name.startswith(".")]


def test_counts_and_split_by_patient(sites: list[Path]) -> None:
    for site in sites:
        splits, count = defaultdict(set), defaultdict(int)
        domains = defaultdict(set)
        for row in rows(site):
            assert (site / row["file"]).is_file()
            quality = row["file"].split("/")[1]
            splits[row["patient"]].add(row["split"])
            domains[row["patient"]].add(quality)
            count[row["split"], quality] += 1
        assert all(len(of_patient) == 1 for of_patient in splits.values())
        assert all(len(of_patient) == 1 for of_patient in domains.values())
        assert dict(count) == {
            ("train", "lq"): 5,
            ("train", "hq"): 4,
            ("validation", "lq"): 2,
            ("test", "lq"): 3,
            ("test", "hq"): 2,
        }
        assert len(rows(site)) == sum(1 for _ in (site / "images").rglob("*.png"))


def test_masks_for_every_lq_image_twins_for_judging_only(sites: list[Path]) -> None:
    for site in sites:
        lq = {path.name for path in (site / "images/lq").iterdir()}
        judged = {Path(r["file"]).name for r in rows(site) if "/lq/" in r["file"] and r["split"] != "train"}
        assert {path.name for path in (site / "masks").iterdir()} == lq
        assert {path.name for path in (site / "twins").iterdir()} == judged
        mode = "L" if yaml.safe_load((site / "site.yaml").read_text())["channels"] == 1 else "RGB"
        for name in lq:
            with Image.open(site / "images/lq" / name) as image, Image.open(site / "masks" / name) as mask:
                assert image.mode == mode and mask.mode == "L" and image.size == mask.size == (64, 64)
                assert set(np.unique(np.asarray(mask))) <= {0, 255}


def test_ccm_sites_are_graded_and_open(tmp_path: Path) -> None:
    few = {"size": 32, "train_lq": 12, "train_hq": 3, "validation_lq": 8, "test_lq": 8, "test_hq": 1}
    [path] = make_sites("ccm", 1, 3, tmp_path, **few)
    site = SiteData.open(load_site_config(path))
    assert site.has_grades
    for samples in site.lq.values():
        assert {sample.grade for sample in samples} == {0, 1, 2, 3}
    of_patient: defaultdict[str, set[int | None]] = defaultdict(set)
    for samples in site.lq.values():
        for sample in samples:
            of_patient[sample.patient].add(sample.grade)
    assert all(len(grades) == 1 for grades in of_patient.values())
    names = (path.parent / "grades.csv").read_text().splitlines()
    assert names[0] == "file,grade" and names[1:] == sorted(names[1:]) and len(names) == 1 + 28


def test_grades_are_dealt_evenly_and_by_seed() -> None:
    grades = [
        [SyntheticSite("ccm", seed, 0, 32).take(p, 0, "lq", "train").grade for p in range(12)]
        for seed in (1, 1, 2)
    ]
    assert grades[0] == grades[1] != grades[2]
    assert all(sorted(grades[0][at : at + 4]) == [0, 1, 2, 3] for at in (0, 4, 8))
    assert SyntheticSite("fundus", 1, 0, 32).take(0, 0, "lq", "train").grade is None
    assert SyntheticSite("ccm", 1, 0, 32).take(0, 0, "hq", "train").grade is None


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_same_seed_same_bytes_other_seed_others(modality: str, tmp_path: Path) -> None:
    few = {"size": 48, "train_lq": 2, "train_hq": 1, "validation_lq": 1, "test_lq": 1, "test_hq": 1}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_sites(modality, 2, seed, tmp_path / name, **few)
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert first == again
    pictures = [name for name in first if name.startswith("site-1/images") and name in other]
    assert pictures and all(first[name] != other[name] for name in pictures)


def test_more_sites_or_images_leave_the_earlier_ones_as_they_were() -> None:
    one, again = (SyntheticSite("fundus", 5, 0, 48).take(7, 1, "lq", "test") for _ in range(2))
    np.testing.assert_array_equal(one.image, again.image)
    elsewhere = SyntheticSite("fundus", 5, 1, 48).take(7, 1, "lq", "test")
    assert np.abs(one.image - elsewhere.image).mean() > 0.02


@pytest.mark.parametrize(("modality", "count"), [("fundus", 4), ("ccm", 3), ("colonoscopy", 3)])
def test_lq_is_visibly_but_not_hopelessly_worse_than_its_twin(modality: str, count: int) -> None:
    for index in range(count):
        site = SyntheticSite(modality, 1, index, 96)
        pairs = [site.take(patient, 0, "lq", "test") for patient in range(6)]
        decibels = [peak_signal_noise_ratio(p.twin, p.image, data_range=1.0) for p in pairs]
        assert 13.0 < np.mean(decibels) < 21.0
        assert min(decibels) > 9.0 and max(decibels) < 26.0


def test_vessel_share_of_the_field_of_view_is_a_retinas() -> None:
    for index in range(4):
        site = SyntheticSite("fundus", 2, index, 128)
        visible = site.camera.field_of_view(128) > 0.5
        shares = [(site.take(p, 0, "lq", "test").mask > 0).sum() / visible.sum() for p in range(6)]
        assert 0.06 < np.mean(shares) < 0.16


def test_black_border_stays_black_in_lq_images() -> None:
    for modality, indices in (("fundus", range(4)), ("colonoscopy", range(3))):
        for index in indices:
            site = SyntheticSite(modality, 2, index, 64)
            image = site.take(0, 0, "lq", "test").image
            assert image[site.camera.field_of_view(64) == 0].max() == 0.0


def test_sites_differ_in_colour_more_than_patients_of_a_site() -> None:
    means = np.array(
        [
            [
                SyntheticSite("fundus", 1, index, 48).take(p, 0, "hq", "train").image.mean((0, 1))
                for p in range(8)
            ]
            for index in range(3)
        ]
    )
    chroma = means / means.sum(-1, keepdims=True)
    within = chroma.std(1).mean()
    between = chroma.mean(1).std(0).mean()
    assert between > 1.5 * within


def test_refuses_to_overwrite_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "site-2").mkdir()
    (tmp_path / "site-2" / "precious.txt").write_text("mine")
    with pytest.raises(DataError, match=r"site-2: exists already.*Choose another output folder"):
        make_sites("ccm", 2, 0, tmp_path, **SMALL)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["precious.txt", "site-2"]


def test_bad_arguments_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_sites("mri", 0, -1, tmp_path, size=8, test_lq=-2)
    assert len(caught.value.problems) == 5
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        make_sites("ccm", 1, 0, tmp_path / "file", **SMALL)


def picture(file: str = "a.png", patient: str = "p1", **changes) -> SiteImage:
    values = {"quality": "lq", "split": "train", "image": np.zeros((8, 8, 3)), **changes}
    return SiteImage(file, patient, **values)


@pytest.mark.parametrize(
    "images",
    [
        [picture(), picture()],
        [picture(), picture("b.png", split="test")],
    ],
    ids=["same name twice", "patient in two splits"],
)
def test_a_failed_site_leaves_nothing_behind(images: list[SiteImage], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"twice|is in train and in test"):
        write_site(tmp_path / "s", images, modality="fundus", channels=3, about="x")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_site(tmp_path / "file" / "s", [picture()], modality="fundus", channels=3, about="x")


def test_twins_never_train_and_absent_kinds_are_not_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twin"):
        picture(twin=np.zeros((8, 8, 3)))
    path = write_site(tmp_path / "s", [picture()], modality="fundus", channels=3, about="x")
    images = yaml.safe_load(path.read_text())["images"]
    assert set(images) == {picture().quality}
    assert {folder.name for folder in path.parent.iterdir() if folder.is_dir()} == {"images"}


def test_a_site_lends_cues_only_if_it_is_asked_to_and_has_hq_images(tmp_path: Path) -> None:
    def policy(name: str, quality: Quality, lends: bool) -> object:
        images = [picture("a.png"), picture("b.png", quality=quality)]
        options = {"modality": "fundus", "channels": 3, "about": "x", "lends_cues": lends}
        return yaml.safe_load(write_site(tmp_path / name, images, **options).read_text()).get("policy")

    assert policy("lends", "hq", True) == {"cue_bank": True}
    assert policy("keeps", "hq", False) is None
    assert policy("has-none", "lq", True) is None


def test_grades_are_for_lq_images_and_an_ungraded_one_has_an_empty_cell(tmp_path: Path) -> None:
    for wrong in ({"grade": 4}, {"grade": -1}, {"grade": 1, "quality": "hq"}):
        with pytest.raises(ValueError, match="only LQ images have a grade, from 0 to 3"):
            picture(**wrong)
    images = [picture("b.png", grade=3), picture("a.png"), picture("c.png", quality="hq")]
    path = write_site(tmp_path / "s", images, modality="ccm", channels=3, about="x")
    assert yaml.safe_load(path.read_text())["images"]["grades"] == "grades.csv"
    assert (path.parent / "grades.csv").read_text() == "file,grade\nimages/lq/a.png,\nimages/lq/b.png,3\n"


def test_dealing_gives_everyone_one_role_near_the_shares() -> None:
    people = [f"p{i}" for i in range(40)]
    dealt = deal(people, {"a": 0.5, "b": 0.3, "c": 0.2}, np.random.default_rng(0))
    assert sorted(dealt) == sorted(people)
    assert [list(dealt.values()).count(role) for role in "abc"] == [20, 12, 8]
    assert dealt != deal(people, {"a": 0.5, "b": 0.3, "c": 0.2}, np.random.default_rng(1))
    assert deal([], {"a": 1.0}, np.random.default_rng(0)) == {}
