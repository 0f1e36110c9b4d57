"""PNS-Net and its attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hqgnet.errors import ConfigurationError
from hqgnet.networks.normalized_attention import NormalizedSelfAttention
from hqgnet.networks.pnsnet import PNSNET, Backbone, PnsNet
from tests.unit.networks.overfitting import idle_parameters, overfit

TINY = PNSNET["tiny"]


def blobs(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images (N, 3, S, S) of one bright disc each, and their masks."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    centres = size * (0.25 + 0.5 * torch.rand(count, 2, 1, 1, generator=generator))
    masks = ((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < (size / 6) ** 2).float()
    images = 0.3 + 0.3 * masks[:, None] + 0.1 * torch.rand(count, 3, size, size, generator=generator)
    return images, masks[:, None]


@pytest.mark.parametrize("backbone", ["res2net50", "resnet"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (64, 48)])
def test_any_size_comes_back(backbone: Backbone, height: int, width: int) -> None:
    network = PnsNet(3, TINY, backbone).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, height, width)).shape == (2, 1, height, width)
        assert network(torch.rand(2, 3, 3, height, width)).shape == (2, 3, 1, height, width)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 3, 3, 32, 32)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PnsNet(3, TINY)(torch.rand(shape))


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Choose one of res2net50, resnet"):
        PnsNet(3, TINY, "vgg")


def test_a_still_image_is_a_clip_of_one_frame() -> None:
    network = PnsNet(1, TINY).eval()
    images = torch.rand(2, 1, 37, 32)
    with torch.no_grad():
        assert torch.equal(network(images), network(images[:, None])[:, 0])


def test_still_images_bypass_the_attention() -> None:
    network = PnsNet(1, TINY)
    network(torch.rand(2, 1, 48, 48)).square().sum().backward()
    idle = idle_parameters(network)
    assert idle
    assert all(name.startswith("attention.") for name in idle)


def test_frames_of_a_clip_see_each_other() -> None:
    torch.manual_seed(0)
    network = PnsNet(1, TINY).eval()
    clip = torch.rand(1, 3, 1, 32, 32)
    changed = clip.clone()
    changed[:, 2] = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(network(clip)[:, 0], network(changed)[:, 0], atol=1e-6)
        assert torch.allclose(network(torch.cat([clip, changed]))[0], network(clip)[0], atol=1e-5), (
            "clips of a batch must not"
        )


@pytest.mark.parametrize("backbone", ["res2net50", "resnet"])
def test_every_parameter_learns_from_a_clip(backbone: Backbone) -> None:
    torch.manual_seed(0)
    network = PnsNet(3, TINY, backbone)
    logits = network(torch.rand(2, 3, 3, 48, 48))
    (logits * torch.randn_like(logits)).sum().backward()
    assert idle_parameters(network) == []


def test_same_seed_same_logits() -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(PnsNet(3, TINY)(torch.rand(1, 2, 3, 32, 32)))
    assert torch.equal(*results)


@pytest.mark.parametrize("frames", [1, 4])
def test_eight_images_are_learnt_by_heart(frames: int) -> None:
    torch.manual_seed(0)
    images, masks = blobs(8, 48)
    network = PnsNet(3, TINY)
    if frames > 1:
        images, masks = (source.unflatten(0, (8 // frames, frames)) for source in (images, masks))
    history = overfit(
        network, lambda: F.binary_cross_entropy_with_logits(network(images), masks), steps=50, rate=1e-2
    )
    assert history[-1] < 0.1 * history[0]
    found = (network(images) > 0).float()
    assert 2 * (found * masks).sum() / (found.sum() + masks.sum()) > 0.9


def test_attention_position_by_position() -> None:
    torch.manual_seed(0)
    dilations, window = (1, 2), 3
    attention = NormalizedSelfAttention(6, dilations, window)
    with torch.no_grad():
        attention.norm.weight.uniform_(0.5, 1.5)
        attention.norm.bias.uniform_(-0.5, 0.5)
    clips = torch.randn(1, 2, 6, 4, 5)
    result = attention(clips)[0].detach()
    frames, height, width, depth = 2, 4, 5, 3
    with torch.no_grad():
        query, key, value = (layer(clips[0]) for layer in (attention.query, attention.key, attention.value))
        for frame in range(frames):
            for row in range(height):
                for column in range(width):
                    gathered, peaks = [], []
                    for head, dilation in enumerate(dilations):
                        part = slice(head * depth, (head + 1) * depth)
                        asked = attention.norm(query[frame, part, row, column])
                        scores, total = [], torch.zeros(depth)
                        for other in range(frames):
                            for down in (-dilation, 0, dilation):
                                for right in (-dilation, 0, dilation):
                                    i, j = row + down, column + right
                                    inside = 0 <= i < height and 0 <= j < width
                                    score = torch.zeros(())
                                    if inside:
                                        score = asked @ key[other, part, i, j] / depth**0.5
                                        total = total + score * value[other, part, i, j]
                                    scores.append(score)
                        gathered.append(total)
                        peaks.append(torch.stack(scores).softmax(0).max())
                    weight, bias = attention.project.weight[:, :, 0, 0], attention.project.bias
                    expected = (weight @ torch.cat(gathered) + bias) * max(peaks)
                    torch.testing.assert_close(result[frame, :, row, column], expected)


@pytest.mark.parametrize(("width", "window"), [(6, 7), (8, 6)])
def test_attention_refuses_numbers_that_do_not_fit(width: int, window: int) -> None:
    with pytest.raises(ValueError, match="width"):
        NormalizedSelfAttention(width, (1, 3, 5, 7), window)


def test_number_of_parameters_of_the_paper_size() -> None:
    """Of Res2Net-50's 23.67 million only the stem and three stages are needed."""
    with torch.device("meta"):
        network = PnsNet(3, PNSNET["paper"])
        counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert counts["backbone"] == 23_669_352 - 14_998_304
    # Two blocks of four 1x1 convolutions at 32 channels, and a LayerNorm over 8.
    assert counts["attention"] == 2 * (4 * (32 * 32 + 32) + 2 * 8)
    assert sum(counts.values()) == 8_816_449
