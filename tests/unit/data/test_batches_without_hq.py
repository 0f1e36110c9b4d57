"""Batches of a site without HQ images: none of them in it, and cues that are a function of seed and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hqgnet.cue_bank import CueBank, CueEntry
from hqgnet.data.batches import Batch, UnpairedBatches
from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError
from tests.unit.data.site_folders import make_site


@pytest.fixture
def site(tmp_path: Path) -> SiteData:
    config = make_site(tmp_path)
    return SiteData.open(config.model_copy(update={"images": config.images.model_copy(update={"hq": None})}))


@pytest.fixture
def bank() -> CueBank:
    return CueBank((CueEntry.of(np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), 20.0),))


def batches(site: SiteData, bank: CueBank | None, seed: int = 1) -> UnpairedBatches:
    made = UnpairedBatches(site, image_size=24, batch_size=3, seed=seed, need_hq=False)
    made.lend(bank)
    return made


def cues(batch: Batch) -> torch.Tensor:
    assert batch.cues is not None
    return batch.cues


def test_hq_images_are_wanted_unless_the_site_may_do_without(site: SiteData) -> None:
    with pytest.raises(DataError, match="no HQ training image"):
        UnpairedBatches(site, image_size=24, batch_size=3, seed=1)


def test_a_batch_holds_cues_in_their_place(site: SiteData, bank: CueBank) -> None:
    batch = batches(site, bank).batch("enhance", 4).to("cpu")
    assert batch.lq.shape == (3, 3, 24, 24) and batch.hq.shape == (0, 3, 24, 24)
    assert cues(batch).shape == (3, 5) and cues(batch).dtype == torch.float32
    assert batches(site, None).batch("enhance", 4).cues is None


def test_cues_are_a_function_of_bank_seed_phase_and_step(site: SiteData, bank: CueBank) -> None:
    made = batches(site, bank)
    made.batch("enhance", 3)
    first = cues(made.batch("enhance", 7))
    assert torch.equal(first, cues(batches(site, bank).batch("enhance", 7)))
    for other in (
        cues(made.batch("enhance", 8)),
        cues(made.batch("cooperate", 7)),
        cues(batches(site, bank, seed=2).batch("enhance", 7)),
    ):
        assert not torch.equal(first, other)


def test_a_site_with_hq_images_draws_no_cues(tmp_path: Path, bank: CueBank) -> None:
    rich = SiteData.open(make_site(tmp_path))
    plain, lent = batches(rich, None).batch("enhance", 2), batches(rich, bank).batch("enhance", 2)
    assert lent.cues is None and torch.equal(plain.hq, lent.hq) and torch.equal(plain.lq, lent.lq)


def test_pretraining_takes_lq_images_alone(site: SiteData) -> None:
    made = batches(site, None)
    first = made.pretraining_batch(0)
    assert first.shape == (3, 3, 24, 24)
    seen = {
        image.flatten().sort().values.numpy().tobytes()
        for step in range(2)
        for image in made.pretraining_batch(step)
    }
    assert len(seen) == 6  # of six training images each once an epoch
