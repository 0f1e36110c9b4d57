"""Training is a function of seed and data: repeated, interrupted or resumed, it gives the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.training.local import LocalTrainer
from hqgnet.training.state import PrivateState

CPU = torch.device("cpu")


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("phase", ["pretrain", "enhance", "cooperate"])
def test_the_same_seed_gives_the_same_weights(
    phase: PhaseName, tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(torch.seed() % 2**31)
        trainer = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
        trainer.train(phase, 0, 2)
        runs.append(trainer.state())
    assert_same(*runs)


@pytest.mark.parametrize(
    ("phase", "normalization"),
    [("pretrain", "instance"), ("enhance", "instance"), ("enhance", "spectral"), ("cooperate", "instance")],
)
def test_a_resumed_site_continues_the_uninterrupted_one(
    phase: PhaseName,
    normalization: str,
    tiny_sites: list[SiteData],
    tiny_experiment: Experiment,
    tmp_path: Path,
) -> None:
    training = tiny_experiment.training.model_copy(update={"discriminator_normalization": normalization})
    tiny_experiment = tiny_experiment.model_copy(update={"training": training})
    unbroken = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    unbroken.train(phase, 0, 2)
    unbroken.train(phase, 2, 2)

    before = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    before.train(phase, 0, 2)
    PrivateState(tmp_path).save(phase, 2, before.private_state(phase))
    shared = {n: v.clone() for n, v in before.state().items() if not n.startswith("discriminator.")}

    after = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    after.load(shared)
    stored = PrivateState(tmp_path).load(phase, 2)
    assert stored is not None
    after.load_private_state(phase, stored.tensors)
    after.train(phase, 2, 2)
    assert_same(unbroken.state(), after.state())


def test_a_repeated_round_finds_the_state_before_it(tmp_path: Path) -> None:
    kept = PrivateState(tmp_path)
    assert kept.load("enhance", 0) is None
    for step in (4, 8):
        kept.save("enhance", step, {"networks.discriminator.x": torch.tensor([float(step)])})
    for asked, expected in ((8, 8), (7, 4), (4, 4), (100, 8)):
        stored = kept.load("enhance", asked)
        assert stored is not None
        assert stored.next_step == expected
        assert float(stored.tensors["networks.discriminator.x"]) == expected
    assert kept.load("enhance", 3) is None


def test_a_new_phase_inherits_private_networks_and_no_moments(tmp_path: Path) -> None:
    kept = PrivateState(tmp_path)
    names = ("networks.discriminator.w", "adam.discriminator.w.exp_avg", "adam.generator.w.exp_avg")
    kept.save("enhance", 4, {name: torch.ones(1) for name in names})
    stored = kept.load("cooperate", 0)
    assert stored is not None
    assert set(stored.tensors) == {"networks.discriminator.w"}


def test_a_damaged_state_counts_as_absent(tmp_path: Path) -> None:
    kept = PrivateState(tmp_path)
    kept.save("enhance", 4, {"networks.discriminator.w": torch.ones(1)})
    kept.save("enhance", 8, {"networks.discriminator.w": torch.zeros(1)})
    newest = tmp_path / "enhance-00000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-3])
    stored = kept.load("enhance", 8)
    assert stored is not None
    assert stored.next_step == 4
