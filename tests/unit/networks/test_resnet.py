"""The residual networks against MONAI's, weight for weight."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import resnet18, resnet50
from torch import nn

from hqgnet.networks.resnet import ResNet
from hqgnet.presets import PRESETS

PAPER = PRESETS["paper"]


def make(kind: str) -> ResNet:
    common = {"stem_width": 64, "widths": (64, 128, 256, 512), "momentum": 0.1}
    if kind == "basic":
        return ResNet(3, stem_stride=2, blocks=PAPER.cue_blocks, kind="basic", **common)
    return ResNet(3, stem_stride=2, blocks=PAPER.encoder_blocks, kind="bottleneck", expansion=4, **common)


@pytest.mark.parametrize(("kind", "reference"), [("basic", resnet18), ("bottleneck", resnet50)])
def test_same_function_as_monai(kind: str, reference: type[nn.Module]) -> None:
    torch.manual_seed(0)
    ours = make(kind)
    theirs = reference(
        spatial_dims=2,
        n_input_channels=3,
        feed_forward=False,
        conv1_t_stride=2,
        shortcut_type="B",
        bias_downsample=False,
    )
    weights = ours.state_dict()
    assert len(weights) == len(theirs.state_dict())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    ours.eval()
    theirs.eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(images).mean(dim=(2, 3)), theirs(images).flatten(1), rtol=1e-3, atol=1e-4
        )


def test_published_number_of_parameters() -> None:
    """torchvision's resnet18 and resnet50 without their classifiers of 513,000 and 2,049,000 parameters."""
    counts = {
        kind: sum(parameter.numel() for parameter in make(kind).parameters())
        for kind in ("basic", "bottleneck")
    }
    assert counts == {"basic": 11_689_512 - 513_000, "bottleneck": 25_557_032 - 2_049_000}


def test_stem_without_stride_doubles_every_level() -> None:
    network = ResNet(
        1, stem_width=4, stem_stride=1, widths=(2, 3, 4, 5), blocks=(1, 1, 1, 1), kind="basic", momentum=0.1
    )
    stem, features = network.pyramid(torch.rand(2, 1, 32, 48))
    assert stem.shape == (2, 4, 32, 48)
    assert [tuple(level.shape) for level in features] == [
        (2, 2, 16, 24),
        (2, 3, 8, 12),
        (2, 4, 4, 6),
        (2, 5, 2, 3),
    ]
