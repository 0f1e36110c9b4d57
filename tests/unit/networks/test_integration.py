"""How guidance enters: AdaLIN's parts and the plainer ways (Table V d and e)."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from hqgnet.method_config import AblationConfig, GuidanceForm, Normalization
from hqgnet.networks import HqgNetworks
from hqgnet.networks.integration import INTEGRATIONS, guided_level
from hqgnet.networks.normalization import AdaLIN
from hqgnet.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("kind", get_args(Normalization))
@pytest.mark.parametrize("maps", [False, True])
def test_shape_and_dependence_on_the_condition(kind: Normalization, maps: bool) -> None:
    torch.manual_seed(0)
    level = guided_level(kind, 6, 10, maps=maps)
    features = torch.randn(2, 6, 8, 9)
    first, second = (torch.randn(2, 10, 3, 3) if maps else torch.randn(2, 10) for _ in range(2))
    hidden = level(features, first)
    assert hidden.shape == features.shape
    assert not torch.allclose(hidden, level(features, second))


@pytest.mark.parametrize("kind", get_args(Normalization))
def test_a_constant_map_is_a_vector(kind: Normalization) -> None:
    torch.manual_seed(0)
    by_vector = INTEGRATIONS[kind](6, 10, maps=False).double()
    by_maps = INTEGRATIONS[kind](6, 10, maps=True).double()
    state = by_vector.state_dict()
    by_maps.load_state_dict(state | {"fc.weight": state["fc.weight"][:, :, None, None]})
    features, vector = torch.randn(2, 6, 8, 9).double(), torch.randn(2, 10).double()
    maps = vector[:, :, None, None].expand(-1, -1, 4, 5)
    torch.testing.assert_close(by_maps(features, maps), by_vector(features, vector), atol=1e-5, rtol=1e-5)


def test_adain_and_adaln_are_the_two_ends_of_adalin() -> None:
    torch.manual_seed(0)
    features, condition = torch.randn(2, 6, 8, 9) * 2 + 1, torch.zeros(2, 10)
    instance = INTEGRATIONS["adain"](6, 10, maps=False)
    layer = INTEGRATIONS["adaln"](6, 10, maps=False)
    torch.testing.assert_close(instance(features, condition), F.instance_norm(features), atol=1e-5, rtol=1e-4)
    expected = F.layer_norm(features, features.shape[1:])
    torch.testing.assert_close(layer(features, condition), expected, atol=1e-5, rtol=1e-4)
    assert "rho" not in dict(instance.named_parameters()) and "rho" not in instance.state_dict()
    assert "rho" in dict(AdaLIN(6, 10).named_parameters())


def test_the_plainer_ways_are_what_their_names_say() -> None:
    torch.manual_seed(0)
    features, condition = torch.randn(2, 6, 4, 4), torch.randn(2, 10)
    for kind in ("add", "multiply"):
        operator = INTEGRATIONS[kind](6, 10, maps=False)  # type: ignore[index]
        brought = operator.fc(condition)[:, :, None, None]
        expected = features + brought if kind == "add" else features * brought
        torch.testing.assert_close(operator(features, condition), expected)
    concatenate = INTEGRATIONS["concatenate"](6, 10, maps=False)
    brought = concatenate.fc(condition)[:, :, None, None].expand(-1, -1, 4, 4)
    expected = F.conv2d(torch.cat([features, brought], 1), concatenate.fuse.weight, concatenate.fuse.bias)
    torch.testing.assert_close(concatenate(features, condition), expected)


@pytest.mark.parametrize("form", get_args(GuidanceForm))
@pytest.mark.parametrize("multi_scale", [True, False])
@pytest.mark.parametrize("size", [(64, 64), (33, 50)])
def test_guidance_reaches_the_image(form: GuidanceForm, multi_scale: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ablation = AblationConfig(guidance_vector=form, multi_scale=multi_scale)
    networks = HqgNetworks(TINY, 3, "direct", ablation).eval()
    lq, hq, other = torch.rand(3, 1, 3, *size)
    with torch.no_grad():
        guides = [networks.describe(images) for images in (hq, other)]
        first, second = (networks.enhance(lq, guide) for guide in guides)
    assert guides[0] is not None and guides[0].shape == (1, networks.guidance_size)
    assert first.shape == lq.shape
    assert not torch.equal(first, second)


@pytest.mark.parametrize("guidance", ["none", "learnable"])
def test_without_hq_images_there_is_no_cue_extractor(guidance: str) -> None:
    networks = HqgNetworks(TINY, 3, ablation=AblationConfig(guidance=guidance))  # type: ignore[arg-type]
    assert networks.guidance_size == 0 and networks.describe(torch.rand(1, 3, 64, 64)) is None
    groups = {name.split(".")[0] for name in networks.state_dict()}
    assert groups == {"generator", "discriminator", "task"}
    assert ("generator.learned_cue" in networks.state_dict()) == (guidance == "learnable")
    assert networks.eval().enhance(torch.rand(2, 3, 40, 40), None).shape == (2, 3, 40, 40)


def test_only_the_deepest_level_is_guided_without_multi_scale() -> None:
    networks = HqgNetworks(TINY, 3, ablation=AblationConfig(multi_scale=False))
    guided = {name.split(".")[2] for name in networks.state_dict() if name.startswith("generator.guided.")}
    assert guided == {"0"}
