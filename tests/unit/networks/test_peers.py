"""The generators of StillGAN and EnlightenGAN, and EnlightenGAN's discriminators."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hqgnet.networks.enlightengan import ATTENTION_UNET_WIDTHS, AttentionUNet, PlainDiscriminator, luminance
from hqgnet.networks.stillgan import RES_UNET_WIDTHS, ResUNet


def res_unet(channels: int = 3) -> ResUNet:
    return ResUNet(RES_UNET_WIDTHS["tiny"], channels)


def attention_unet(channels: int = 3) -> AttentionUNet:
    return AttentionUNet(ATTENTION_UNET_WIDTHS["tiny"], channels, momentum=0.1)


@pytest.mark.parametrize("make", [res_unet, attention_unet])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (48, 64), (31, 77), (8, 8), (5, 40)])
def test_any_size_keeps_its_size_and_range(
    make: type[nn.Module], channels: int, size: tuple[int, int]
) -> None:
    network = make(channels).eval()
    images = torch.rand(1, channels, *size)
    with torch.no_grad():
        enhanced = network(images)
    assert enhanced.shape == images.shape and enhanced.dtype == torch.float32
    assert 0 <= float(enhanced.min()) <= float(enhanced.max()) <= 1


@pytest.mark.parametrize("make", [res_unet, attention_unet])
def test_the_gradient_reaches_every_weight(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = make().train()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_the_published_sizes() -> None:
    """EnlightenGAN's release has 8.64 M and 36.9 GMACs; StillGAN's 58.38 M stand in HQG-Net's Table IV."""
    with torch.device("meta"):
        still = ResUNet(RES_UNET_WIDTHS["paper"], 3)
        enlighten = AttentionUNet(ATTENTION_UNET_WIDTHS["paper"], 3, momentum=0.1)
        with FlopCounterMode(display=False) as counter:
            enlighten(torch.empty(1, 3, 384, 384))
    parameters = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (still, enlighten)]
    assert parameters[0] == pytest.approx(58.38, rel=0.005)
    assert parameters[1] == pytest.approx(8.64, rel=0.005)
    assert counter.get_total_flops() / 2e9 == pytest.approx(36.9, rel=0.005)


def test_bright_places_are_left_alone() -> None:
    """Output = input + latent * (1 - Y): where Y is 1 nothing is added, whatever the weights."""
    network = attention_unet().train()
    nn.init.normal_(network.last.weight)
    images = torch.full((1, 3, 32, 32), 0.2)
    images[..., :16] = 1.0
    enhanced = network(images).detach()
    torch.testing.assert_close(enhanced[..., :16], images[..., :16])
    assert float((enhanced - images)[..., 16:].abs().max()) > 0.01


def test_luminance_is_that_of_the_standard() -> None:
    colours = torch.eye(3).view(3, 3, 1, 1)
    assert luminance(colours).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    grey = torch.rand(2, 1, 4, 4)
    assert luminance(grey) is grey


@pytest.mark.parametrize(("layers", "expected"), [(4, 2 + 3), (5, 2 + 3)])
def test_discriminators_take_patches_of_32(layers: int, expected: int) -> None:
    network = PlainDiscriminator(8, layers, 3)
    assert network(torch.rand(2, 3, 32, 32)).shape[:2] == (2, 1)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert sum(layer.stride == (2, 2) for layer in convolutions) == layers
    assert len(convolutions) == layers + 2
    assert not any(isinstance(layer, nn.InstanceNorm2d | nn.BatchNorm2d) for layer in network.modules())
