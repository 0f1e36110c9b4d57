"""DeepGrading, its attention and its region of interest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from hqgnet.data.grades import LEVELS
from hqgnet.losses import grading_loss
from hqgnet.networks.bilinear_attention import BilinearAttention
from hqgnet.networks.csnet import SegmentationNetwork
from hqgnet.networks.deepgrading import DEEPGRADING, DeepGrading
from hqgnet.networks.region_of_interest import crop_windows, densest_windows
from hqgnet.presets import PRESETS
from tests.unit.networks.overfitting import idle_parameters, overfit

TINY = DEEPGRADING["tiny"]


def waves(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, S, S) of one bright nerve each, more tortuous the higher its level; the levels."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    levels = torch.arange(count) % LEVELS
    phases = 6 * torch.rand(count, 1, 1, generator=generator)
    path = size / 2 + size / 6 * torch.sin(2 * torch.pi * levels[:, None, None] * columns / size + phases)
    nerves = (-((rows - path) ** 2) / 4).exp()[:, None]
    return 0.2 + 0.6 * nerves + 0.05 * torch.rand(count, 1, size, size, generator=generator), levels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(17, 23), (64, 64), (30, 131)])
def test_any_size_gives_four_logits(channels: int, height: int, width: int) -> None:
    network = DeepGrading(channels, TINY).eval()
    with torch.no_grad():
        assert network(torch.rand(2, channels, height, width)).shape == (2, 4)


def test_the_answer_is_the_fusion_of_the_three_heads() -> None:
    network = DeepGrading(1, TINY).eval()
    images, _ = waves(4, 40)
    with torch.no_grad():
        parts = network.forward_parts(images)
        assert torch.equal(network(images), parts.fused)
        joint = torch.cat([parts.trunk, parts.attended, parts.region], dim=1)
        torch.testing.assert_close(parts.fused, joint @ network.fusion.weight.T)
    assert network.fusion.bias is None


@pytest.mark.parametrize("rank", [0, 4])
def test_every_parameter_learns(rank: int) -> None:
    torch.manual_seed(0)
    network = DeepGrading(1, TINY, bilinear_rank=rank)
    segmentor = network.segmentor
    for attention in (segmentor.spatial, segmentor.channel):
        nn.init.constant_(attention.weight, 0.1)  # starts at 0, and hides what is behind it
    images, levels = waves(4, 64)
    grading_loss(network.forward_parts(images), levels).backward()
    assert idle_parameters(network) == []


def test_the_gradient_reaches_the_image_through_a_frozen_segmentor_too() -> None:
    torch.manual_seed(0)
    segmentor = SegmentationNetwork(PRESETS["tiny"], 1)
    network = DeepGrading(1, TINY, segmentor=segmentor, freeze_segmentor=True).train()
    before = {name: value.clone() for name, value in segmentor.state_dict().items()}
    images, levels = waves(4, 48)
    images.requires_grad_()
    seen = []
    segmentor.register_full_backward_hook(lambda _, into, __: seen.append(into[0].abs().sum()))
    grading_loss(network.forward_parts(images), levels).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert seen[0] > 0
    assert all(parameter.grad is None for parameter in segmentor.parameters())
    assert all(torch.equal(value, before[name]) for name, value in segmentor.state_dict().items())
    assert network.trunk.training
    assert not segmentor.training


def test_any_segmentor_from_images_to_logits_will_do() -> None:
    class Bright(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 20 * (images[:, :1] - 0.5)

    network = DeepGrading(3, TINY, segmentor=Bright()).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, 4)


def test_same_seed_same_logits() -> None:
    images, _ = waves(2, 64)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(DeepGrading(1, TINY)(images))
    assert torch.equal(*results)


def test_eight_images_are_learnt_by_heart() -> None:
    torch.manual_seed(0)
    images, levels = waves(8, 64)
    network = DeepGrading(1, TINY)
    history = overfit(
        network, lambda: grading_loss(network.forward_parts(images), levels), steps=30, rate=1e-2
    )
    assert history[-1] < 0.1 * history[0]
    assert torch.equal(network(images).argmax(dim=1), levels)


def test_rank_of_the_numbers_can_be_overridden() -> None:
    widths = {
        rank: DeepGrading(1, TINY, bilinear_rank=rank).attention.fc.in_features for rank in (None, 4, 0)
    }
    assert widths == {None: 8**2, 4: 4**2, 0: TINY.widths[3] ** 2}


@pytest.mark.parametrize("rank", [None, 2])
def test_attention_channel_by_channel(rank: int | None) -> None:
    torch.manual_seed(0)
    attention = BilinearAttention(3, rank)
    features = torch.randn(2, 3, 4, 5)
    with torch.no_grad():
        result = attention(features)
        for sample in range(2):
            reduced = features[sample]
            if rank is not None:
                reduced = torch.einsum("rc,chw->rhw", attention.reduce.weight[:, :, 0, 0], reduced)
            rooted = []
            for first in reduced:
                for second in reduced:
                    moment = (first * second).mean()
                    rooted.append(moment.sign() * moment.abs().sqrt())
            vector = torch.stack(rooted)
            vector = vector / vector.norm()
            for channel in range(3):
                score = attention.fc.weight[channel] @ vector + attention.fc.bias[channel]
                weight = 1 / (1 + torch.exp(-score.clamp(min=0)))
                torch.testing.assert_close(
                    result[sample, channel], features[sample, channel] * (1 + weight), rtol=1e-4, atol=1e-5
                )


def test_attention_is_finite_on_silent_channels() -> None:
    attention = BilinearAttention(3)
    features = torch.zeros(1, 3, 4, 4, requires_grad=True)
    attention(features).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_region_is_where_most_lies() -> None:
    torch.manual_seed(0)
    probability = torch.rand(3, 1, 13, 17)
    windows = densest_windows(probability, 5)
    for sample, (rows, columns) in enumerate(windows):
        sums = {
            (top, left): float(probability[sample, 0, top : top + 5, left : left + 5].sum())
            for top in range(9)
            for left in range(13)
        }
        assert (rows.start, columns.start) == max(sums, key=lambda place: sums[place])
        assert (rows.stop - rows.start, columns.stop - columns.start) == (5, 5)


def test_region_is_never_larger_than_the_image() -> None:
    images = torch.rand(2, 2, 4, 9)
    windows = densest_windows(images[:, :1], 6)
    assert [rows for rows, _ in windows] == [slice(0, 4)] * 2
    assert crop_windows(images, windows, 6).shape == (2, 2, 6, 6)


def test_region_of_nothing_is_the_first_window() -> None:
    assert densest_windows(torch.zeros(1, 1, 20, 20), 6) == [(slice(0, 6), slice(0, 6))]


def test_number_of_parameters_of_the_paper_size() -> None:
    """ResNet-18 without its classifier, the full bilinear layer, CS-Net (8.93 million in colour)."""
    counts = {}
    for rank in (None, 64):
        with torch.device("meta"):
            network = DeepGrading(1, replace(DEEPGRADING["paper"], bilinear_rank=rank))
        counts[rank] = {
            name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()
        }
    assert counts[None]["trunk"] == 11_689_512 - 513_000
    assert counts[None]["attention"] == 512**3 + 512
    assert counts[64]["attention"] == 512 * 64 + 64**2 * 512 + 512
    assert round(counts[None]["segmentor"] / 1e6, 2) == 8.92
    assert sum(counts[None].values()) == 154_942_623
