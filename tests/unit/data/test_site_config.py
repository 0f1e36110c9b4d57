from __future__ import annotations

from pathlib import Path

import pytest

from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.errors import ConfigurationError

GOOD = "name: site-1\nmodality: fundus\nchannels: 3\nimages: {lq: images/lq, hq: images/hq}\n"


def load(tmp_path: Path, text: str) -> SiteConfig:
    (tmp_path / "site.yaml").write_text(text)
    return load_site_config(tmp_path / "site.yaml")


def places(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert all(problem.remedy for problem in caught.value.problems)
    return [problem.where.removeprefix(f"{tmp_path}/site.yaml: ") for problem in caught.value.problems]


def test_paths_are_relative_to_the_file_and_defaults_hold(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD + "split: {file: split.csv}\n")
    assert config.images.lq == tmp_path / "images/lq"
    assert config.images.masks is None
    assert config.split.file == tmp_path / "split.csv"
    assert config.work == tmp_path / "work"
    assert (config.device, config.threads, config.share_guidance) == ("auto", None, True)
    assert config.minimum_images_for_guidance == 8
    absolute = load(tmp_path, GOOD.replace("images/lq", "/elsewhere/lq"))
    assert absolute.images.lq == Path("/elsewhere/lq")


def test_every_mistake_is_named(tmp_path: Path) -> None:
    text = """name: Site 1
modality: xray
channels: 2
images: {lq: a, hq: b, mask: c}
split: {patient_pattern: '^(p[0-9]+)', test: 2, seed: true}
device: gpu
threads: 0
share_guidance: 1
wrok: x
"""
    assert set(places(tmp_path, text)) == {
        "name",
        "modality",
        "channels",
        "images.mask",
        "split.patient_pattern",
        "split.test",
        "split.seed",
        "device",
        "threads",
        "share_guidance",
        "wrok",
    }


@pytest.mark.parametrize(
    "split",
    [
        "{file: s.csv, seed: 1}",
        "{validation: 0.5, test: 0.5}",
        "{patient_pattern: '(?P<patient>['}",
        "{patient_pattern: 'abc'}",
    ],
)
def test_splits_that_make_no_sense(tmp_path: Path, split: str) -> None:
    assert [place.split(".")[0] for place in places(tmp_path, f"{GOOD}split: {split}\n")] == ["split"]


@pytest.mark.parametrize(
    ("images", "work", "place"),
    [
        ("{lq: images, hq: images/hq}", "work", "images.hq"),
        ("{lq: images, hq: images}", "work", "images.lq"),
        ("{lq: lq, hq: hq}", "lq/work", "work"),
        ("{lq: lq, hq: hq}", "hq", "work"),
        ("{lq: lq, hq: ../hq}", ".", "images.lq"),
        ("{lq: ../lq, hq: work/pictures/hq}", "work", "images.hq"),
        ("{lq: lq, hq: hq, masks: ./lq/../lq/masks}", "work", "images.masks"),
    ],
)
def test_folders_inside_each_other_are_refused(tmp_path: Path, images: str, work: str, place: str) -> None:
    text = f"name: s\nmodality: ccm\nchannels: 1\nimages: {images}\nwork: {work}\n"
    assert places(tmp_path, text) == [place]


def test_a_folder_that_leads_in_a_circle_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert load(tmp_path, GOOD.replace("images/lq", "circle/lq")).images.lq == tmp_path / "circle/lq"


@pytest.mark.parametrize("character", ["\\0", "\\ud800"])
def test_a_path_that_no_system_takes_is_told_with_its_line(tmp_path: Path, character: str) -> None:
    assert places(tmp_path, GOOD.replace("images/lq", f'"images{character}lq"')) == ["line 4"]


def test_every_key_is_documented() -> None:
    from hqgnet.config_reference import keys

    assert all(field.description for _, field in keys(SiteConfig))
