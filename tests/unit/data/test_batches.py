from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hqgnet.data.batches import Batch, UnpairedBatches
from hqgnet.data.reading import read_image, read_mask
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_files import Sample
from hqgnet.data.transforms import letterbox
from hqgnet.errors import DataError
from tests.unit.data.site_folders import make_graded_site, make_site, picture, save


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SiteData:
    return SiteData.open(make_site(tmp_path_factory.mktemp("site"), masks=True))


def batches(site: SiteData | list[SiteData], batch_size: int = 4, **options: object) -> UnpairedBatches:
    options = {"seed": 0, "need_masks": False, **options}
    return UnpairedBatches(site, 24, batch_size, **options)  # type: ignore[arg-type]


def same(first: Batch, second: Batch) -> bool:
    masks = first.masks is second.masks or torch.equal(first.masks, second.masks)  # type: ignore[arg-type]
    return torch.equal(first.lq, second.lq) and torch.equal(first.hq, second.hq) and masks


def flips(image: Tensor) -> list[Tensor]:
    return [image, image.flip(1), image.flip(2), image.flip(1, 2)]


def which(image: Tensor, samples: tuple[Sample, ...]) -> int:
    """Return which file an image of a batch was made of, however flipped."""
    return next(
        number
        for number, sample in enumerate(samples)
        if any(
            torch.allclose(image, flipped, atol=3e-4)
            for flipped in flips(letterbox(read_image(sample.path), 24))
        )
    )


def test_shapes_types_and_range(site: SiteData) -> None:
    batch = batches(site, need_masks=True).batch("cooperate", 0)
    assert batch.lq.shape == batch.hq.shape == (4, 3, 24, 24)
    assert batch.masks is not None
    assert batch.masks.shape == (4, 1, 24, 24)
    assert batch.lq.dtype == batch.hq.dtype == batch.masks.dtype == torch.float32
    assert 0 <= float(batch.lq.min()) <= float(batch.lq.max()) <= 1
    assert batches(site).batch("cooperate", 0).masks is None
    assert same(batch.to("cpu"), batch)


def test_a_batch_depends_on_nothing_but_its_arguments(site: SiteData) -> None:
    first, second = batches(site, need_masks=True), batches(site, need_masks=True)
    straight = [first.batch("cooperate", step) for step in range(6)]
    first.pretraining_batch(3)
    torch.manual_seed(99)
    for step in (5, 0, 3):
        assert same(second.batch("cooperate", step), straight[step])
        assert same(first.batch("cooperate", step), straight[step])
    assert torch.equal(first.pretraining_batch(2), second.pretraining_batch(2))


def test_seed_phase_and_step_all_matter(site: SiteData) -> None:
    reference = batches(site).batch("enhance", 0)
    assert not same(batches(site, seed=1).batch("enhance", 0), reference)
    assert not same(batches(site).batch("cooperate", 0), reference)
    assert not same(batches(site).batch("enhance", 1), reference)


def test_the_global_random_state_is_left_alone(site: SiteData) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    batches(site).batch("enhance", 0)
    assert torch.equal(torch.rand(3), expected)


def test_equal_sites_give_equal_batches_whatever_their_name(tmp_path: Path) -> None:
    one = SiteData.open(make_site(tmp_path / "a"))
    make_site(tmp_path / "b")
    file = tmp_path / "b/site.yaml"
    file.write_text(file.read_text().replace("site-1", "other"))
    other = SiteData.open(load_site_config(file))
    assert other.config.name == "other"
    assert same(batches(one).batch("enhance", 7), batches(other).batch("enhance", 7))


def test_an_epoch_shows_every_lq_image_once_in_changing_order(site: SiteData) -> None:
    data, samples = batches(site, batch_size=2), site.lq["train"]
    assert len(samples) == 6
    epochs = []
    for epoch in range(4):
        shown = [image for step in range(3) for image in data.batch("enhance", 3 * epoch + step).lq]
        epochs.append([which(image, samples) for image in shown])
        assert sorted(epochs[-1]) == list(range(6))
    assert len({tuple(order) for order in epochs}) > 1


def test_hq_images_are_drawn_at_random_from_all(site: SiteData) -> None:
    data = batches(site)
    drawn = [which(image, site.hq["train"]) for step in range(30) for image in data.batch("enhance", step).hq]
    assert all(8 <= drawn.count(number) <= 35 for number in range(6))  # 20 expected


def test_masks_are_flipped_with_their_images(site: SiteData) -> None:
    data = batches(site, need_masks=True)
    turned = 0
    for step in range(5):
        batch = data.batch("cooperate", step)
        assert batch.masks is not None
        for image, mask in zip(batch.lq, batch.masks, strict=True):
            sample = site.lq["train"][which(image, site.lq["train"])]
            original = letterbox(read_image(sample.path), 24)
            turn = next(n for n, v in enumerate(flips(original)) if torch.allclose(v, image, atol=3e-4))
            assert torch.equal(flips(letterbox(read_mask(sample.mask or Path()), 24))[turn], mask)
            turned += turn > 0
    assert turned > 5


def test_a_small_set_still_fills_the_batch(tmp_path: Path) -> None:
    small = SiteData.open(make_site(tmp_path, lq=3, hq=3))
    data = batches(small, batch_size=5)
    assert len(small.lq["train"]) == 1
    assert data.batch("enhance", 0).lq.shape[0] == data.batch("enhance", 0).hq.shape[0] == 5
    assert data.pretraining_batch(0).shape[0] == 5


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_pretraining_goes_through_lq_and_hq_alike(site: SiteData, batch_size: int) -> None:
    data = batches(site, batch_size=batch_size)
    samples = site.lq["train"] + site.hq["train"]
    shown = [
        which(image, samples) for step in range(12 // batch_size) for image in data.pretraining_batch(step)
    ]
    assert sorted(shown) == list(range(12))


def test_sites_are_pooled(tmp_path: Path, site: SiteData) -> None:
    make_site(tmp_path, lq=0, hq=0)
    for number in range(8):
        save(tmp_path / f"images/lq/x{number}_.png", picture(900 + number))
        save(tmp_path / f"images/hq/y{number}_.png", picture(950 + number))
    second = SiteData.open(load_site_config(tmp_path / "site.yaml"))
    samples = site.lq["train"] + second.lq["train"]
    data = batches([site, second], batch_size=len(samples))
    assert sorted(which(image, samples) for image in data.batch("enhance", 0).lq) == list(range(len(samples)))
    drawn = {which(image, site.hq["train"] + second.hq["train"]) for image in data.batch("enhance", 0).hq}
    assert max(drawn) >= len(site.hq["train"]) > min(drawn)


def test_partly_masked_sites_cooperate_on_masked_images_only(tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True)
    for sample in SiteData.open(config).lq["train"][::2]:
        (sample.mask or tmp_path).unlink()
    partly = SiteData.open(config)
    data = batches(partly, batch_size=6, need_masks=True)
    cooperate, enhance = data.batch("cooperate", 0), data.batch("enhance", 0)
    assert cooperate.masks is not None
    assert {which(image, partly.lq["train"]) for image in cooperate.lq} == {1, 3, 5}
    assert {which(image, partly.lq["train"]) for image in enhance.lq} == set(range(6))


def test_phases_that_learn_from_no_label_are_given_none(tmp_path: Path) -> None:
    """Else an image's label would decide whether its batch can be dealt out in equal shares."""
    graded = SiteData.open(make_graded_site(tmp_path, {n: n % 4 for n in range(10)}, masks=True))
    data = batches(graded, need_grades=True, need_masks=True)
    for phase, gives in (("pretrain", False), ("enhance", False), ("cooperate", True)):
        batch = data.batch(phase, 0)
        labels = (batch.masks, batch.labelled, batch.grades, batch.graded)
        assert all((label is not None) == gives for label in labels), phase


def test_a_pooled_site_without_masks_takes_part_with_all_its_images(tmp_path: Path, site: SiteData) -> None:
    make_site(tmp_path)
    for number in range(10):  # its own pictures
        save(tmp_path / f"images/lq/p{number:02d}_lq.png", picture(900 + number))
    plain = SiteData.open(load_site_config(tmp_path / "site.yaml"))
    samples = site.lq["train"] + plain.lq["train"]
    batch = batches([site, plain], batch_size=len(samples), need_masks=True).batch("cooperate", 0)
    assert batch.masks is not None and batch.labelled is not None
    drawn = [which(image, samples) for image in batch.lq]
    assert sorted(drawn) == list(range(len(samples)))
    assert [number < len(site.lq["train"]) for number in drawn] == batch.labelled.tolist()
    assert len(batch.masks) == len(site.lq["train"])


def test_grades_go_with_their_images_and_change_nothing_else(tmp_path: Path, site: SiteData) -> None:
    graded = SiteData.open(make_graded_site(tmp_path, {n: n % 4 for n in range(10)}, masks=True))
    samples = graded.lq["train"]
    data = batches(graded, need_grades=True, need_masks=True)
    seen = set()
    for step in range(6):
        batch = data.batch("cooperate", step)
        assert batch.grades is not None and batch.graded is not None
        assert batch.grades.dtype == torch.int64 and batch.graded.tolist() == [True] * 4
        assert batch.grades.tolist() == [samples[which(image, samples)].grade for image in batch.lq]
        assert same(batch, batches(site, need_masks=True).batch("cooperate", step))
        moved = batch.to("meta")
        assert {
            part.device.type
            for part in (moved.lq, moved.hq, moved.masks, moved.grades, moved.graded)
            if part is not None
        } == {"meta"}
        seen |= set(batch.grades.tolist())
    assert seen == {sample.grade for sample in samples}
    without = batches(graded).batch("cooperate", 0)
    assert without.grades is without.graded is None


def test_partly_graded_sites_cooperate_on_graded_images_only(tmp_path: Path) -> None:
    train = [int(s.patient[1:]) for s in SiteData.open(make_site(tmp_path)).lq["train"]]
    partly = SiteData.open(
        make_graded_site(tmp_path, {n: "" if n in train[::2] else n % 4 for n in range(10)})
    )
    data = batches(partly, batch_size=6, need_grades=True)
    cooperate, enhance = data.batch("cooperate", 0), data.batch("enhance", 0)
    assert {which(image, partly.lq["train"]) for image in cooperate.lq} == {1, 3, 5}
    assert cooperate.graded is not None and cooperate.graded.all()
    assert {which(image, partly.lq["train"]) for image in enhance.lq} == set(range(6))
    plain = batches(partly, batch_size=6).batch("cooperate", 0)
    assert {which(image, partly.lq["train"]) for image in plain.lq} == set(range(6))


def test_a_pooled_site_without_grades_takes_part_with_all_its_images(tmp_path: Path, site: SiteData) -> None:
    config = make_graded_site(tmp_path, dict.fromkeys(range(10), 3))
    for number in range(10):  # its own pictures
        save(tmp_path / f"images/lq/p{number:02d}_lq.png", picture(900 + number))
    graded = SiteData.open(config)
    samples = graded.lq["train"] + site.lq["train"]
    batch = batches([graded, site], batch_size=len(samples), need_grades=True).batch("cooperate", 0)
    drawn = [which(image, samples) for image in batch.lq]
    assert sorted(drawn) == list(range(len(samples)))
    assert batch.masks is None and batch.grades is not None and batch.graded is not None
    assert batch.grades.tolist() == [3] * len(graded.lq["train"])
    assert batch.graded.tolist() == [number < len(graded.lq["train"]) for number in drawn]


def test_what_exceeds_the_cache_is_read_again(site: SiteData) -> None:
    assert same(batches(site, cache_bytes=0).batch("enhance", 1), batches(site).batch("enhance", 1))


def test_cached_images_are_not_read_again(tmp_path: Path) -> None:
    data = batches(SiteData.open(make_site(tmp_path)))
    expected = data.batch("enhance", 0)
    for path in (tmp_path / "images").rglob("*.png"):
        path.unlink()
    assert same(data.batch("enhance", 0), expected)


def test_a_file_gone_bad_since_is_named(tmp_path: Path) -> None:
    opened = SiteData.open(make_site(tmp_path))
    path = opened.hq["train"][0].path
    path.write_bytes(b"")
    with pytest.raises(DataError, match=path.name):
        batches(opened)


def test_what_cannot_be_batched(tmp_path: Path, site: SiteData) -> None:
    plain = SiteData.open(make_site(tmp_path / "plain"))
    with pytest.raises(DataError, match="no LQ training image has a mask"):
        batches(plain, need_masks=True)
    with pytest.raises(DataError, match=r"no LQ training image has a grade.*images\.grades"):
        batches(plain, need_grades=True)
    grey = SiteData.open(make_site(tmp_path / "grey", channels=1))
    with pytest.raises(DataError, match="differ in channels"):
        batches([site, grey])
    with pytest.raises(DataError) as caught:
        batches([])
    assert len(caught.value.problems) == 2
