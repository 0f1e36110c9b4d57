"""The three phases: what a step changes, what it leaves alone, and where the gradients come from."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
import torch

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.training.local import LocalTrainer
from hqgnet.training.phases import phase_of
from hqgnet.training.protocols import Batches, Losses

CPU = torch.device("cpu")


def trained_groups(trainer: LocalTrainer, before: dict[str, torch.Tensor]) -> set[str]:
    return {
        name.split(".")[0] for name, value in trainer.state().items() if not torch.equal(value, before[name])
    }


def snapshot(trainer: LocalTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.state().items()}


@pytest.mark.parametrize(
    ("phase", "groups"),
    [
        ("pretrain", {"cue_extractor", "autoencoder_decoder"}),
        ("enhance", {"cue_extractor", "generator", "discriminator"}),
        ("cooperate", {"cue_extractor", "generator", "discriminator", "task"}),
    ],
)
def test_a_phase_trains_its_groups_only(
    phase: PhaseName, groups: set[str], tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    trainer = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    before = snapshot(trainer)
    result = trainer.train(phase, 0, 2)
    assert trained_groups(trainer, before) == groups == set(result.trained_groups)
    assert result.steps == 2
    assert all(torch.isfinite(torch.tensor(value)) for value in result.losses.values())


def test_a_loss_that_some_steps_lack_is_the_mean_of_the_others(
    tiny_sites: list[SiteData], tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of pooled sites some have masks: a batch without any has no segmentation loss."""
    site = tiny_sites[1]
    lq = {split: tuple(replace(one, mask=None) for one in samples) for split, samples in site.lq.items()}
    training = tiny_experiment.training.model_copy(update={"batch_size": 1})
    experiment = tiny_experiment.model_copy(update={"training": training})
    trainer = LocalTrainer(experiment, [tiny_sites[0], replace(site, lq=lq)], CPU)
    phase = trainer._phase("cooperate")
    step, seen = phase.step, []

    def watched(batches: Batches, index: int) -> Losses:
        seen.append(step(batches, index))
        return seen[-1]

    monkeypatch.setattr(phase, "step", watched)
    losses = trainer.train("cooperate", 0, 6).losses
    for name in ("segmentation", "haar"):
        values = [float(given[name]) for given in seen if name in given]
        assert losses[name] == pytest.approx(statistics.fmean(values), rel=1e-6)
    assert 0 < sum("segmentation" in given for given in seen) < 6


def test_training_lowers_the_reconstruction_loss(
    tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    experiment = tiny_experiment.model_copy(
        update={"training": tiny_experiment.training.model_copy(update={"learning_rate": 2e-3})}
    )
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    first = trainer.train("pretrain", 0, 3).losses["reconstruction"]
    trainer.train("pretrain", 3, 20)
    assert trainer.train("pretrain", 23, 3).losses["reconstruction"] < 0.8 * first


def test_every_optimizer_of_a_phase_follows_the_schedule(
    tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    """The second half of a phase: constant and linear part there, and a step at a tenth moves a tenth."""
    phases = tiny_experiment.phases.model_copy(
        update={"cooperate": tiny_experiment.phases.cooperate.model_copy(update={"rounds": 4, "steps": 5})}
    )
    moves = []
    for schedule in ("constant", "linear"):
        training = tiny_experiment.training.model_copy(update={"schedule": schedule})
        experiment = tiny_experiment.model_copy(update={"training": training, "phases": phases})
        trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
        before = snapshot(trainer)
        trainer.train("cooperate", 19, 1)
        names = [name for name, _ in trainer.networks.named_parameters()]
        moves.append({name: float((trainer.state()[name] - before[name]).norm()) for name in names})
    constant, linear = moves
    for group in ("cue_extractor", "generator", "discriminator", "task"):
        moved = [name for name in constant if name.startswith(group) and constant[name] > 1e-3]
        assert moved
        for name in moved:
            assert linear[name] == pytest.approx(constant[name] / 10, rel=0.02)


def test_a_frozen_trunk_keeps_weights_and_statistics(
    tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    training = tiny_experiment.training.model_copy(update={"cue_extractor": "frozen"})
    trainer = LocalTrainer(tiny_experiment.model_copy(update={"training": training}), tiny_sites[:1], CPU)
    before = snapshot(trainer)
    trainer.train("enhance", 0, 2)
    after = trainer.state()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("cue_extractor.trunk.") for name in changed)
    assert any(name.startswith("cue_extractor.fc") for name in changed)


def test_each_image_is_encoded_once_a_step(
    tiny_sites: list[SiteData], tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    phase = phase_of("enhance", trainer.networks, trainer.experiment, CPU)
    calls = {"encode": 0, "decode": 0, "structure": 0}
    for name in calls:
        method = getattr(trainer.networks.generator, name)

        def counted(*arguments: object, _method: object = method, _name: str = name) -> object:
            calls[_name] += 1
            return _method(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(trainer.networks.generator, name, counted)
    phase.step(trainer.batches, 0)
    # The LQ batch is encoded and decoded; of the enhanced batch L_FC needs v_y alone (Eq. 8).
    assert calls == {"encode": 1, "decode": 1, "structure": 1}


@pytest.mark.parametrize("normalization", ["instance", "spectral"])
def test_bfloat16_trains(normalization: str, tiny_sites: list[SiteData], tiny_experiment: Experiment) -> None:
    changed = {"precision": "bfloat16", "discriminator_normalization": normalization}
    training = tiny_experiment.training.model_copy(update=changed)
    trainer = LocalTrainer(tiny_experiment.model_copy(update={"training": training}), tiny_sites[:1], CPU)
    losses = trainer.train("cooperate", 0, 1).losses
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    assert all(value.dtype != torch.bfloat16 for value in trainer.state().values())
