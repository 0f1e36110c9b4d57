"""Training at a site without HQ images: what moves, and what stays as it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hqgnet.config import Experiment
from hqgnet.cue_bank import CueBank, CueEntry
from hqgnet.data.site_data import SiteData
from hqgnet.training.local import LocalTrainer
from hqgnet.training.parallel.follower import parameters_of

CPU = torch.device("cpu")


@pytest.fixture
def poor(tiny_sites: list[SiteData]) -> SiteData:
    site = tiny_sites[0]
    images = site.config.images.model_copy(update={"hq": None})
    none: dict[str, tuple[()]] = dict.fromkeys(site.hq, ())
    return replace(site, config=site.config.model_copy(update={"images": images}), hq=none)


def changed(experiment: Experiment, **federation: Any) -> Experiment:
    given = experiment.model_dump()
    given["federation"] |= {"cue_bank": True} | federation
    return Experiment.model_validate(given)


def bank(shift: float = 0.0) -> CueBank:
    vectors = np.random.default_rng(3).normal(shift, 0.3, (20, 64)).astype(np.float32)
    return CueBank((CueEntry.of(vectors, 20.0),))


def moved(trainer: LocalTrainer, before: dict[str, torch.Tensor]) -> set[str]:
    after = trainer.state()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def trained(
    experiment: Experiment, site: SiteData, phase: Any, lent: CueBank | None = None
) -> tuple[LocalTrainer, dict[str, torch.Tensor], Any]:
    trainer = LocalTrainer(experiment, [site], CPU, need_hq=False)
    trainer.batches.lend(lent)
    before = {name: value.clone() for name, value in trainer.state().items()}
    return trainer, before, trainer.train(phase, 0, 2)


def test_the_generator_alone_learns_from_lent_cues(tiny_experiment: Experiment, poor: SiteData) -> None:
    trainer, before, result = trained(changed(tiny_experiment), poor, "enhance", bank())
    assert moved(trainer, before) == {"generator"} == set(result.trained_groups)
    assert {"enhancement", "haar", "feature_consistency"} <= set(result.losses)
    assert not {"adversarial", "discriminator"} & set(result.losses)
    assert all(np.isfinite(value) for value in result.losses.values())


def test_the_downstream_network_learns_beside_it(tiny_experiment: Experiment, poor: SiteData) -> None:
    trainer, before, result = trained(changed(tiny_experiment), poor, "cooperate", bank())
    assert moved(trainer, before) == {"generator", "task"} == set(result.trained_groups)
    assert "segmentation" in result.losses


def test_other_cues_give_another_model(tiny_experiment: Experiment, poor: SiteData) -> None:
    experiment = changed(tiny_experiment)
    first, again, other = (
        trained(experiment, poor, "enhance", lent)[0].state() for lent in (bank(), bank(), bank(2.0))
    )
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_a_shared_discriminator_judges_and_is_left_as_it_came(
    tiny_experiment: Experiment, poor: SiteData
) -> None:
    experiment = changed(tiny_experiment, share_discriminator=True)
    trainer, before, result = trained(experiment, poor, "enhance", bank())
    assert moved(trainer, before) == {"generator"} == set(result.trained_groups)
    assert "adversarial" in result.losses and "discriminator" not in result.losses
    alone = trained(changed(tiny_experiment), poor, "enhance", bank())[0].state()
    state = trainer.state()
    assert any(not torch.equal(state[name], alone[name]) for name in state if name.startswith("generator."))


@pytest.mark.parametrize("cue_extractor", ["finetune", "frozen"])
def test_what_a_phase_trains_does_not_depend_on_the_one_before(
    cue_extractor: str, tiny_experiment: Experiment, poor: SiteData
) -> None:
    """A process that has been through enhance and one that begins in cooperate move the same parameters."""
    given = changed(tiny_experiment).model_dump()
    given["training"] |= {"cue_extractor": cue_extractor}
    experiment = Experiment.model_validate(given)
    lasting, _, _ = trained(experiment, poor, "enhance", bank())
    fresh = LocalTrainer(experiment, [poor], CPU, need_hq=False)
    assert parameters_of(lasting._phase("cooperate")) == parameters_of(fresh._phase("cooperate"))
    assert [one.requires_grad for one in lasting.networks.parameters()] == [
        one.requires_grad for one in fresh.networks.parameters()
    ]


def test_without_guidance_no_cues_are_needed(tiny_experiment: Experiment, poor: SiteData) -> None:
    given = tiny_experiment.model_dump()
    given["ablation"] |= {"guidance": "none"}
    given["phases"]["pretrain"]["rounds"] = 0
    trainer, before, result = trained(Experiment.model_validate(given), poor, "enhance")
    assert moved(trainer, before) == {"generator"} == set(result.trained_groups)


def test_pretraining_needs_no_hq_images(tiny_experiment: Experiment, poor: SiteData) -> None:
    trainer, before, result = trained(changed(tiny_experiment), poor, "pretrain")
    assert moved(trainer, before) == {"cue_extractor", "autoencoder_decoder"} == set(result.trained_groups)


def test_a_frozen_enhancer_is_guided_by_lent_cues(tiny_experiment: Experiment, poor: SiteData) -> None:
    given = changed(tiny_experiment).model_dump()
    given["downstream"] |= {"enhancer_trained_in_cooperate": False}
    trainer, before, result = trained(Experiment.model_validate(given), poor, "cooperate", bank())
    assert moved(trainer, before) == {"task"} == set(result.trained_groups)


def test_a_resumed_stretch_sees_the_same_cues(tiny_experiment: Experiment, poor: SiteData) -> None:
    experiment = changed(tiny_experiment)
    whole, _, _ = trained(experiment, poor, "enhance", bank())
    first = LocalTrainer(experiment, [poor], CPU, need_hq=False)
    first.batches.lend(bank())
    first.train("enhance", 0, 1)
    second = LocalTrainer(experiment, [poor], CPU, need_hq=False)
    second.batches.lend(bank())
    second.load_private_state("enhance", first.private_state("enhance"))
    second.load(first.state())
    second.train("enhance", 1, 1)
    state = second.state()
    assert all(torch.equal(value, state[name]) for name, value in whole.state().items())
