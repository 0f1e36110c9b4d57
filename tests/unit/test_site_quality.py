"""A site's own quality classifier: trained once, none where images lack, and a bad file is told as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqgnet import site_quality as module
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.errors import DataError
from hqgnet.metrics.quality import QualityClassifier, train_quality_classifier
from hqgnet.site_quality import site_quality


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[SiteData]:
    """Train for one step only; says whenever it was trained."""
    told: list[SiteData] = []

    def train(data: SiteData, size: int, seed: int) -> QualityClassifier:
        told.append(data)
        return train_quality_classifier(data, size, seed, steps=1)

    monkeypatch.setattr(module, "train_quality_classifier", train)
    return told


@pytest.fixture
def site(tmp_path: Path) -> SiteData:
    counts = {"train_lq": 2, "train_hq": 2, "validation_lq": 1, "test_lq": 1, "test_hq": 1}
    [path] = make_sites("fundus", 1, 5, tmp_path / "sites", size=48, **counts)
    return SiteData.open(load_site_config(path))


def test_it_is_trained_once(site: SiteData, trained: list[SiteData]) -> None:
    first, again = site_quality(site), site_quality(site)
    assert first is not None and again is not None and len(trained) == 1
    assert again.held_out_auc == first.held_out_auc


@pytest.mark.parametrize("lacking", ["lq", "hq"])
def test_there_is_none_without_images_of_both_kinds(
    lacking: str, site: SiteData, trained: list[SiteData]
) -> None:
    images = {"lq": site.lq, "hq": site.hq}
    images[lacking] = {**images[lacking], "train": ()}
    without = SiteData(site.config, images["lq"], images["hq"], site.skipped, site.size_range)
    assert site_quality(without) is None and not trained


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_file_that_went_bad_is_told_and_is_no_lack_of_images(
    split: str, site: SiteData, trained: list[SiteData]
) -> None:
    path = site.hq[split][0].path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError) as caught:
        site_quality(site)
    assert caught.value.problems[0].where == str(path)


def test_a_file_that_is_gone_is_named(site: SiteData, trained: list[SiteData]) -> None:
    path = site.lq["validation"][0].path
    path.unlink()
    with pytest.raises(DataError) as caught:
        site_quality(site)
    assert caught.value.problems[0].where == str(path) and not trained
