"""The PatchGAN."""

from __future__ import annotations

from statistics import median

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hqgnet.errors import ConfigurationError
from hqgnet.networks import Discriminator
from hqgnet.presets import PRESETS, PresetName


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


def tint_seen(normalization: str, preset: PresetName, seed: int) -> float:
    """How far a reddish tint moves the logits of fresh weights, in spreads over a smooth image's patches."""
    numbers = PRESETS[preset].model_copy(update={"discriminator_normalization": normalization})
    torch.manual_seed(seed)
    discriminator = Discriminator(numbers, 3).eval()
    images = F.interpolate(torch.rand(2, 3, 12, 12), size=128, mode="bilinear") / 2 + 0.2
    tint = torch.tensor([0.1, 0.0, -0.05]).view(1, 3, 1, 1)
    with torch.no_grad():
        # Away from the border: its padding has no tint.
        plain, tinted = (discriminator(x)[..., 4:-4, 4:-4] for x in (images, images + tint))
    return float((tinted - plain).mean(dim=(1, 2, 3)).abs().mean() / plain.std())


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_instance_normalisation_hides_colour_from_the_discriminator(preset: PresetName) -> None:
    hidden, seen = ([tint_seen(kind, preset, seed) for seed in range(4)] for kind in ("instance", "spectral"))
    assert median(hidden) < 0.05
    assert median(seen) > 0.15


@pytest.mark.parametrize(("height", "width"), [(69, 100), (100, 69)])
def test_image_below_the_receptive_field_is_named(height: int, width: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"70 pixels.*{width} x {height}"):
        Discriminator(PRESETS["small"], 3)(torch.rand(1, 3, height, width))


@pytest.mark.parametrize("normalization", ["instance", "spectral"])
def test_every_parameter_learns(normalization: str) -> None:
    numbers = PRESETS["tiny"].model_copy(update={"discriminator_normalization": normalization})
    discriminator = Discriminator(numbers, 3)
    discriminator(torch.rand(2, 3, 48, 48)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in discriminator.parameters())
