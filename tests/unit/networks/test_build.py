"""All networks together."""

from __future__ import annotations

import pytest
import torch

from hqgnet.config import Experiment
from hqgnet.method_config import Method
from hqgnet.networks import build_networks, networks_of
from hqgnet.presets import PRESETS

TINY = PRESETS["tiny"]
GROUPS = {"cue_extractor", "generator", "discriminator", "task", "autoencoder_decoder"}


def test_names_begin_with_their_group() -> None:
    networks = build_networks(TINY, 3)
    assert {name for name, _ in networks.named_children()} == GROUPS
    assert {name.split(".")[0] for name in networks.state_dict()} == GROUPS


def test_seed_decides_all_weights() -> None:
    first, second, other = (build_networks(TINY, 3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["generator.bottom.weight"], other["generator.bottom.weight"])
    assert not torch.equal(first["task.last.weight"], other["task.last.weight"])


def test_seeded_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    build_networks(TINY, 3, seed=5)
    assert torch.equal(torch.rand(3), expected)


def test_output_is_handed_to_the_generator() -> None:
    assert build_networks(TINY, 1, output="direct").generator.output_mode == "direct"


@pytest.mark.parametrize("method", ["hqgnet", "stillgan"])
def test_experiment_says_how_discriminators_are_normalised(
    method: Method, tiny_experiment: Experiment
) -> None:
    counts = []
    for normalization in ("instance", "spectral"):
        training = tiny_experiment.training.model_copy(update={"discriminator_normalization": normalization})
        networks = networks_of(tiny_experiment.model_copy(update={"method": method, "training": training}))
        layers = networks.discriminator.modules()
        counts.append(sum(isinstance(layer, torch.nn.InstanceNorm2d) for layer in layers))
    assert counts[0] > 0
    assert counts[1] == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_momentum_of_the_preset_reaches_every_layer(preset: str) -> None:
    with torch.device("meta"):
        networks = build_networks(PRESETS[preset], 3)
    momenta = {layer.momentum for layer in networks.modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    assert momenta == {PRESETS[preset].normalization_momentum}


def test_bfloat16_autocast_gives_nearly_the_same_image() -> None:
    networks = build_networks(TINY, 3, seed=0).eval()
    lq, hq = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = networks.generator(lq, networks.cue_extractor(hq))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = networks.generator(lq, networks.cue_extractor(hq))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0, atol=0.01)
