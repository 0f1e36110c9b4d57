"""The PatchGAN."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqgnet.errors import ConfigurationError
from hqgnet.networks import Discriminator
from hqgnet.presets import PRESETS


def measured_receptive_field(discriminator: Discriminator) -> tuple[int, int]:
    """Extent of a central logit's gradient, without the normalisation, which sees the whole image."""
    for index, layer in enumerate(discriminator.layers):
        if isinstance(layer, nn.InstanceNorm2d):
            discriminator.layers[index] = nn.Identity()
    images = torch.rand(1, 1, 160, 160, requires_grad=True)
    logits = discriminator(images)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert images.grad is not None
    seen = images.grad[0, 0].nonzero()
    height, width = (seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist()
    return height, width


@pytest.mark.parametrize(("layers", "expected"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field(layers: int, expected: int) -> None:
    torch.manual_seed(0)
    numbers = PRESETS["tiny"].model_copy(update={"discriminator_layers": layers, "discriminator_width": 4})
    discriminator = Discriminator(numbers, 1)
    assert discriminator.receptive_field == expected
    assert measured_receptive_field(discriminator) == (expected, expected)


def test_paper_numbers_give_the_70x70_patchgan() -> None:
    discriminator = Discriminator(PRESETS["paper"], 3)
    assert discriminator.receptive_field == 70
    # pix2pix's has 2,764,737 (2.765 M as its authors print it) with the biases that normalisation makes idle.
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 2_764_737 - (128 + 256 + 512)


@pytest.mark.parametrize("channels", [1, 3])
def test_logits(channels: int) -> None:
    discriminator = Discriminator(PRESETS["small"], channels)
    assert discriminator(torch.rand(2, channels, 70, 70)).shape == (2, 1, 6, 6)
    assert discriminator(torch.rand(2, channels, 97, 131)).shape == (2, 1, 10, 14)


@pytest.mark.parametrize(("height", "width"), [(69, 100), (100, 69)])
def test_image_below_the_receptive_field_is_named(height: int, width: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"70 pixels.*{width} x {height}"):
        Discriminator(PRESETS["small"], 3)(torch.rand(1, 3, height, width))


def test_every_parameter_learns() -> None:
    discriminator = Discriminator(PRESETS["tiny"], 3)
    discriminator(torch.rand(2, 3, 48, 48)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in discriminator.parameters())
