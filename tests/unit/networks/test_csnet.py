"""CS-Net and its two attentions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqgnet.networks import CSNet, SegmentationNetwork
from hqgnet.networks.csnet import ChannelAttention, SpatialAttention
from hqgnet.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(17, 23), (64, 64), (97, 131)])
def test_any_size_comes_back(channels: int, height: int, width: int) -> None:
    network = SegmentationNetwork(TINY, channels, classes=2).eval()
    with torch.no_grad():
        assert network(torch.rand(2, channels, height, width)).shape == (2, 2, height, width)


@pytest.mark.parametrize(
    "attention", [SpatialAttention(16, 0.1), ChannelAttention()], ids=["spatial", "channel"]
)
def test_attention_starts_at_the_identity(attention: nn.Module) -> None:
    features = torch.randn(2, 16, 5, 7)
    assert torch.equal(attention(features), features)


def test_spatial_attention_position_by_position() -> None:
    torch.manual_seed(0)
    attention = SpatialAttention(16, 0.1).eval()
    nn.init.constant_(attention.weight, 0.7)
    features = torch.randn(1, 16, 3, 4)
    with torch.no_grad():
        result = attention(features)
        query, key, value = (
            layer(features)[0] for layer in (attention.query, attention.key, attention.value)
        )
    positions = [(row, column) for row in range(3) for column in range(4)]
    for row, column in positions:
        scores = torch.stack([query[:, row, column] @ key[:, i, j] for i, j in positions]).exp()
        gathered = sum(
            score * value[:, i, j] for score, (i, j) in zip(scores / scores.sum(), positions, strict=True)
        )
        torch.testing.assert_close(result[0, :, row, column], features[0, :, row, column] + 0.7 * gathered)


def test_channel_attention_channel_by_channel() -> None:
    attention = ChannelAttention()
    nn.init.constant_(attention.weight, 0.7)
    features = torch.randn(1, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    result = attention(features).detach()
    for channel in range(5):
        affinity = torch.stack([(features[0, channel] * features[0, other]).sum() for other in range(5)])
        scores = (affinity.max() - affinity).exp()
        gathered = sum(score * features[0, other] for other, score in enumerate(scores / scores.sum()))
        torch.testing.assert_close(result[0, channel], features[0, channel] + 0.7 * gathered)


def test_queries_run_along_rows_and_keys_along_columns() -> None:
    attention = SpatialAttention(16, 0.1)
    assert (attention.query[0].kernel_size, attention.key[0].kernel_size) == ((1, 3), (3, 1))
    assert attention.query[0].out_channels == attention.key[0].out_channels == 2


def test_every_parameter_learns_once_attention_has_weight() -> None:
    torch.manual_seed(0)
    network = CSNet(TINY, 3)
    for attention in (network.spatial, network.channel):
        nn.init.constant_(attention.weight, 0.1)
    logits = network(torch.rand(2, 3, 64, 64))
    (logits * torch.randn_like(logits)).sum().backward()
    idle = [
        name
        for name, value in network.named_parameters()
        if value.grad is None or not value.grad.abs().sum() > 0
    ]
    assert idle == []


def test_attention_weights_learn_from_the_start() -> None:
    network = CSNet(TINY, 3)
    network(torch.rand(2, 3, 48, 48)).square().sum().backward()
    assert network.spatial.weight.grad.abs() > 0
    assert network.channel.weight.grad.abs() > 0


def test_first_logits_are_undecided() -> None:
    torch.manual_seed(0)
    assert CSNet(TINY, 3)(torch.rand(2, 3, 64, 64)).abs().mean() < 2
