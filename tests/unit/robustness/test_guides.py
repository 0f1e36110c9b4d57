"""Which guides a set names, and what is said of names that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hqgnet.data.reading import read_image
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError, DataError, ModelFileError
from hqgnet.guidance import site_guidance
from hqgnet.model_file import Model, load_model
from hqgnet.robustness.guides import Condition, Guide, Plan, drawn_of, fixed_guide, gather, vectors_of
from hqgnet.robustness.noise import add_noise, random_source
from hqgnet.robustness.specs import PAPER, Spec, read_specs
from tests.unit.robustness.conftest import SaveModel

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(fundus: Path) -> SiteData:
    return SiteData.open(load_site_config(fundus))


def pooled(model: Path, pool: str) -> Model:
    """The model, as an experiment whose headline figures take a pool of guides gives it."""
    loaded = load_model(model)
    ablation = loaded.experiment.ablation.model_copy(update={"guidance_pool": pool})
    return replace(loaded, experiment=loaded.experiment.model_copy(update={"ablation": ablation}))


def conditions(data: SiteData, model: Path, *named: str, **plan: object) -> list[Condition]:
    return gather(read_specs(named), data, load_model(model), Plan(**plan))  # type: ignore[arg-type]


def test_sets_of_the_sites_own_images(data: SiteData, model: Path) -> None:
    every, ten, one, lq, stored = conditions(data, model, "all", "ten", "one", "lq", "stored")
    hq = [sample.path for sample in data.hq["test"]]
    assert {guide.path for guide in every.guides} == set(hq) == {guide.path for guide in ten.guides}
    assert [guide.path for guide in one.guides] == hq[:1]
    assert {guide.path for guide in lq.guides} == {sample.path for sample in data.lq["test"]}
    assert [guide.path for guide in stored.guides] == [None]
    assert (every.note, ten.note) == ("", "ten HQ images: there are only 4")


@pytest.mark.parametrize(("pool", "guides"), [("ten", "ten HQ images"), ("all", "all HQ images")])
def test_where_headline_figures_take_a_pool_the_fixed_guide_says_that_it_is_not_theirs(
    data: SiteData, model: Path, pool: str, guides: str
) -> None:
    fixed = fixed_guide(data)
    alone, pooled_model = load_model(model), pooled(model, pool)
    one, weak, every = gather(read_specs(["one", "poisson", "all"]), data, pooled_model, Plan((0.1,)))
    assert one.guides == (fixed,) and weak.guides[0].path == fixed.path
    assert (
        one.note
        == weak.note
        == (
            f"one fixed HQ image: without --guides, each LQ image has one of {guides} "
            f"(ablation.guidance_pool is {pool})"
        )
    )
    assert every.note == ""
    for networks, its_size in ((alone, 1), (pooled_model, 4)):
        described = site_guidance(networks.networks, data, networks.experiment, CPU)
        assert described is not None and len(described) == its_size
    assert {condition.note for condition in conditions(data, model, "one", "poisson")} == {""}


def test_a_large_set_is_cut_and_says_so(data: SiteData, model: Path) -> None:
    [cut] = conditions(data, model, "all", most=3, seed=2)
    assert len(set(cut.guides)) == 3
    assert cut.note == "all HQ images: 3 of 4, drawn by seed 2"
    pool = [Path(str(number)) for number in range(50)]
    assert drawn_of(pool, 10, 2) == drawn_of(pool, 32, 2)[:10]  # ten of the thirty-two
    assert drawn_of(pool, 10, 2) != drawn_of(pool, 10, 3)
    assert set(drawn_of(pool, 99, 2)) == set(pool)


def test_noise_is_drawn_several_times_at_every_strength(data: SiteData, model: Path) -> None:
    weak, strong = conditions(data, model, "poisson", strengths=(0.1, 0.3))
    assert (weak.strength, strong.strength) == (0.1, 0.3)
    fixed = data.hq["test"][0].path
    assert weak.guides == tuple(Guide(fixed, "poisson", 0.1, draw) for draw in range(5))


def test_other_sites_and_folders(data: SiteData, model: Path, ccm: Path) -> None:
    hq, lq, folder = conditions(
        data, model, f"other:{ccm}", f"other-lq:{ccm}", f"folder:{ccm.parent}/images/hq"
    )
    other = SiteData.open(load_site_config(ccm))
    assert {guide.path for guide in hq.guides} == {sample.path for sample in other.hq["test"]}
    assert {guide.path for guide in lq.guides} == {sample.path for sample in other.lq["test"]}
    assert hq.name == f"other:{other.config.name}" and "(ccm)" in hq.title
    assert len(folder.guides) == sum(len(samples) for samples in other.hq.values())


def test_noise_is_added_at_the_size_of_the_network(data: SiteData, model: Path) -> None:
    loaded = load_model(model)
    small = loaded.experiment.model_copy(update={"image_size": 24})
    loaded = type(loaded)(loaded.networks, small, loaded.guidance, loaded.details)
    path = data.hq["test"][0].path
    noisy = Guide(path, "salt-pepper", 0.5, 1)
    vectors = vectors_of([Guide(path), noisy, Guide(None)], loaded, CPU, seed=4)
    halved = torch.nn.functional.interpolate(
        read_image(path, 3).unsqueeze(0), size=(24, 24), mode="bilinear", antialias=True, align_corners=False
    )
    spoilt = add_noise(halved[0], "salt-pepper", 0.5, random_source(4, "salt-pepper", 1)).unsqueeze(0)
    with torch.inference_mode():
        assert torch.allclose(vectors[noisy], loaded.networks.cue_extractor(spoilt), atol=1e-6)
        assert torch.allclose(vectors[Guide(path)], loaded.networks.cue_extractor(halved), atol=1e-6)
    assert vectors[Guide(None)] is loaded.guidance


def test_what_paper_stands_for(data: SiteData, model: Path, save: SaveModel) -> None:
    assert [spec.kind for spec in read_specs(["paper"])] == list(PAPER)
    assert [spec.kind for spec in read_specs(["one", "paper", "one"])].count("one") == 1
    names = {condition.name for condition in conditions(data, model, "paper")}
    assert names == set(PAPER)
    without = save(cue=False)
    assert {condition.name for condition in conditions(data, without, "paper")} == set(PAPER) - {"stored"}
    with pytest.raises(ModelFileError, match="holds no cue"):
        conditions(data, without, "paper", "stored")


def test_names_that_cannot_be_used_are_told_together(tmp_path: Path, data: SiteData, model: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_specs(["al", "other", "folder:", "gaussian:0.1", "ten"])
    assert [problem.what for problem in caught.value.problems] == [
        "'al' is unknown",
        "other does not say where the images are",
        "folder: does not say where the images are",
        "'gaussian:0.1' is unknown",
    ]
    with pytest.raises(ConfigurationError, match=r"no-site\.yaml"):
        conditions(data, model, f"other:{tmp_path / 'no-site.yaml'}")
    with pytest.raises(DataError, match="holds no image"):
        conditions(data, model, f"folder:{tmp_path}")
    assert read_specs([f"other:{tmp_path}/a:b.yaml"]) == (Spec("other", tmp_path / "a:b.yaml"),)


def test_another_site_without_hq_images_is_an_error(
    tmp_path: Path, data: SiteData, model: Path, ccm: Path
) -> None:
    text = ccm.read_text().replace("hq: images/hq", f"hq: {tmp_path}")
    site = ccm.with_name("without-hq.yaml")
    site.write_text(text)
    with pytest.raises(DataError, match=r"images\.hq: folder .* holds no image"):
        conditions(data, model, f"other:{site}")
