"""Res2Net: its size, its sizes, and one block group by group."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hqgnet.networks.res2net import Res2Block, Res2Net


def test_published_number_of_parameters() -> None:
    """timm documents 25.72 million for res2net50d, 2,049,000 of which are the classifier's."""
    with torch.device("meta"):
        network = Res2Net(3, stem_width=64, widths=(64, 128, 256, 512), blocks=(3, 4, 6, 3), momentum=0.1)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round((count + 2_049_000) / 1e6, 2) == 25.72


def test_levels_halve() -> None:
    network = Res2Net(1, stem_width=6, widths=(8, 12, 16), blocks=(1, 2, 1), expansion=2, momentum=0.1)
    stem, levels = network.pyramid(torch.rand(2, 1, 64, 48))
    assert stem.shape == (2, 6, 32, 24)
    assert [tuple(level.shape) for level in levels] == [(2, 16, 16, 12), (2, 24, 8, 6), (2, 32, 4, 3)]


@pytest.mark.parametrize("first", [True, False])
def test_groups_are_chained_except_in_the_first_block_of_a_stage(first: bool) -> None:
    torch.manual_seed(0)
    stride = 2 if first else 1
    block = Res2Block(32, 16, 32, stride=stride, first=first, momentum=0.1).eval()
    features = torch.randn(1, 32, 8, 8)
    with torch.no_grad():
        result = block(features)
        one, two, three, four = block.enter(features).split(6, dim=1)
        first_group, second_group, third_group = block.groups
        a = first_group(one)
        b = second_group(two if first else two + a)
        c = third_group(three if first else three + b)
        if first:
            rest = F.avg_pool2d(four, 3, 2, padding=1)
            shortcut = block.shortcut[1](F.avg_pool2d(features, 2))
        else:
            rest, shortcut = four, features
        expected = F.relu(block.leave(torch.cat([a, b, c, rest], dim=1)) + shortcut)
    torch.testing.assert_close(result, expected)
