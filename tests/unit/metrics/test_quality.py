"""The quality classifier learns to tell a synthetic site's HQ from its LQ images, and survives its file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from hqgnet.data.reading import read_image
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.errors import DataError, ModelFileError
from hqgnet.metrics.quality import QualityClassifier, _auc, s_hq, train_quality_classifier
from hqgnet.metrics.quality_file import load_quality_classifier, save_quality_classifier


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SiteData:
    counts = {"train_lq": 16, "train_hq": 16, "validation_lq": 4, "test_lq": 4, "test_hq": 6}
    [path] = make_sites("fundus", 1, 5, tmp_path_factory.mktemp("quality") / "sites", size=64, **counts)
    return SiteData.open(load_site_config(path))


@pytest.fixture(scope="module")
def classifier(site: SiteData) -> QualityClassifier:
    return train_quality_classifier(site, 64, seed=0, steps=60)


def images(site: SiteData, name: str) -> torch.Tensor:
    samples = (site.lq if name == "lq" else site.hq)["test"]
    return torch.stack([read_image(sample.path, 3) for sample in samples])


def test_images_never_seen_are_told_apart(site: SiteData, classifier: QualityClassifier) -> None:
    assert classifier.held_out == (8, 6)
    assert classifier.held_out_auc is not None and classifier.held_out_auc > 0.8
    lq, hq = s_hq(classifier, images(site, "lq")), s_hq(classifier, images(site, "hq"))
    assert hq.shape == (6,) and hq.dtype == torch.float64
    assert min(lq.min(), hq.min()) >= 0 and max(lq.max(), hq.max()) <= 1
    assert hq.mean() > lq.mean() + 0.2


def test_a_clean_twin_is_better_than_its_lq_image(site: SiteData, classifier: QualityClassifier) -> None:
    pairs = [(item.lq, item.twin) for item in site.evaluation_items("test", 64)]
    lq = s_hq(classifier, torch.stack([lq for lq, _ in pairs]))
    twins = s_hq(classifier, torch.stack([twin for _, twin in pairs if twin is not None]))
    assert twins.mean() > lq.mean() + 0.2


def test_the_same_seed_gives_the_same_classifier_and_leaves_the_global_random_state(
    site: SiteData,
) -> None:
    before = torch.get_rng_state()
    first, again, other = (train_quality_classifier(site, 32, seed, steps=3) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    lq = images(site, "lq")
    assert torch.equal(s_hq(first, lq), s_hq(again, lq))
    assert not torch.equal(s_hq(first, lq), s_hq(other, lq))


def test_sites_are_pooled(site: SiteData) -> None:
    assert train_quality_classifier([site, site], 32, seed=0, steps=1).held_out == (16, 12)
    with pytest.raises(DataError, match="no site"):
        train_quality_classifier([], 32, seed=0, steps=1)


def test_without_held_out_images_there_is_no_auc(site: SiteData) -> None:
    alone = replace(site, hq={**site.hq, "test": ()})
    trained = train_quality_classifier(alone, 32, seed=0, steps=1)
    assert (trained.held_out_auc, trained.held_out) == (None, (8, 0))


def test_auc_by_hand() -> None:
    assert _auc(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])) == 1
    assert _auc(torch.tensor([0.0, 2.0]), torch.tensor([1.0])) == 0.5
    assert _auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0])) == 0.25
    assert _auc(torch.tensor([]), torch.tensor([1.0])) is None


def test_images_of_any_size_and_with_nan(site: SiteData, classifier: QualityClassifier) -> None:
    larger = torch.nn.functional.interpolate(images(site, "hq"), size=(128, 128), mode="bilinear")
    assert s_hq(classifier, larger).mean() > 0.5
    wide = images(site, "hq")[..., 10:50, :]
    assert s_hq(classifier, wide).isfinite().all()
    broken = images(site, "hq")[:2]
    broken[0, 0, 30, 30] = math.nan
    figures = s_hq(classifier, broken)
    assert figures[0].isnan() and figures[1].isfinite()
    assert s_hq(classifier, broken[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        s_hq(classifier, broken[:, :1])


def test_the_file_gives_the_same_figures(
    site: SiteData, classifier: QualityClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "made" / "quality.safetensors"
    save_quality_classifier(path, classifier)
    before = torch.get_rng_state()
    again = load_quality_classifier(path)
    assert torch.equal(torch.get_rng_state(), before)
    lq = images(site, "lq")
    assert torch.equal(s_hq(again, lq), s_hq(classifier, lq))
    assert replace(again, network=classifier.network) == classifier
    written = path.read_bytes()
    save_quality_classifier(path, again)
    assert path.read_bytes() == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "has format 2"),
        ({"channels": 1}, "do not fit"),
        ({"channels": 4}, "out of range"),
        ({"image_size": 10**9}, "out of range"),
        ({"held_out_auc": 1.5}, "out of range"),
        ({"held_out": "none"}, "not a quality classifier"),
        ({"held_out_auc": []}, "not a quality classifier"),
    ],
)
def test_a_header_that_cannot_be_is_refused(
    classifier: QualityClassifier, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "quality.safetensors"
    save_quality_classifier(path, classifier)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["hqgnet_quality"])
    path.write_bytes(save(load(data), {"hqgnet_quality": json.dumps(header | change)}))
    with pytest.raises(ModelFileError, match=said):
        load_quality_classifier(path)


def test_other_files_are_refused(classifier: QualityClassifier, tmp_path: Path) -> None:
    path = tmp_path / "quality.safetensors"
    with pytest.raises(ModelFileError, match="is missing"):
        load_quality_classifier(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match="safetensors"):
        load_quality_classifier(path)
    path.write_bytes(save({"weight": torch.zeros(2)}))
    with pytest.raises(ModelFileError, match="not a quality classifier"):
        load_quality_classifier(path)
    save_quality_classifier(path, classifier)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelFileError, match="safetensors"):
        load_quality_classifier(path)
