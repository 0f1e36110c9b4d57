"""The enhancement network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hqgnet.networks import Generator
from hqgnet.networks.generator import UpBlock
from hqgnet.presets import PRESETS, NetworkNumbers

TINY = PRESETS["tiny"]
# The paper's full-resolution stem at a tenth of its width.
TINY_PAPER = TINY.model_copy(update={"stem_stride": 1, "tail_widths": (16,), "output": "direct"})


def make(numbers: NetworkNumbers = TINY, channels: int = 3, output: str | None = None) -> Generator:
    torch.manual_seed(0)
    return Generator(numbers, channels, output)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 23), (64, 64), (97, 131)])
@pytest.mark.parametrize("numbers", [TINY, TINY_PAPER], ids=["stem stride 2", "stem stride 1"])
def test_any_size_comes_back(numbers: NetworkNumbers, channels: int, height: int, width: int) -> None:
    generator = make(numbers, channels).eval()
    with torch.no_grad():
        encoded = generator.encode(torch.rand(2, channels, height, width))
        enhanced = generator.decode(encoded, torch.rand(2, 64))
    assert enhanced.shape == (2, channels, height, width)
    assert encoded.structure.shape == (2, 16)
    assert enhanced.min() >= 0
    assert enhanced.max() <= 1


@pytest.mark.parametrize("skip_width", [5, 0])
def test_up_block_is_equation_3_as_printed(skip_width: int) -> None:
    torch.manual_seed(0)
    block = UpBlock(7, skip_width, 4)
    coarse, skip = torch.randn(2, 7, 6, 9), torch.randn(2, skip_width, 12, 18) if skip_width else None
    enlarged = F.interpolate(coarse, size=(12, 18), mode="bilinear")
    joined = enlarged if skip is None else torch.cat([enlarged, skip], dim=1)
    expected = block.conv3(F.leaky_relu(block.conv1(joined), 0.2))
    torch.testing.assert_close(block(coarse, skip), expected, rtol=1e-5, atol=1e-5)


def test_decoder_follows_the_paper_level_by_level() -> None:
    """Eq. 2 to 4 written out, with VIN as tested on its own."""
    generator = make(TINY_PAPER).eval()
    lq, guidance = torch.rand(1, 3, 32, 48), torch.randn(1, 64)
    with torch.no_grad():
        stem, (f1, f2, f3, f4) = generator.encoder.pyramid(lq)
        joint = torch.cat([guidance, generator.fc(F.adaptive_avg_pool2d(f4, 1).flatten(1))], dim=1)
        assert joint.shape == (1, 80)
        hidden = generator.guided[0](generator.bottom(f4), joint)
        for index, skip in enumerate((f3, f2, f1)):
            hidden = generator.guided[index + 1](generator.blocks[index](hidden, skip), joint)
        hidden = F.leaky_relu(generator.tail[0](hidden, stem), 0.2)
        torch.testing.assert_close(generator(lq, guidance), generator.last(hidden).sigmoid())


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_structure_is_what_encode_finds(mode: str) -> None:
    generator = make().train(mode == "train")
    images = torch.rand(2, 3, 50, 41)
    torch.testing.assert_close(generator.structure(images), generator.encode(images).structure)


def test_residual_output_starts_at_the_input() -> None:
    generator = make(output="residual").eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert (generator(images, torch.randn(2, 64)) - images).abs().mean() < 0.01


def test_residual_output_is_clamped_in_evaluation_only() -> None:
    generator = make(output="residual")
    torch.nn.init.constant_(generator.last.bias, 0.5)
    images, guidance = torch.ones(2, 3, 32, 32), torch.zeros(2, 64)
    assert generator.train()(images, guidance).max() > 1.3
    assert generator.eval()(images, guidance).max() == 1


def test_logit_output_starts_at_the_input_and_stays_an_image_in_training() -> None:
    generator = make(output="logit").train()
    images, guidance = torch.rand(2, 3, 64, 64), torch.randn(2, 64)
    with torch.no_grad():
        assert (generator(images, guidance) - images).abs().mean() < 0.01
        black = generator(torch.zeros(2, 3, 64, 64), guidance)
        torch.nn.init.constant_(generator.last.bias, 8.0)
        bright = generator(images, guidance)
    assert (black > 0).all() and (black < 0.02).all()
    assert (bright > 0.9).all() and (bright <= 1).all()


def test_output_override_and_default() -> None:
    assert make().output_mode == TINY.output == "residual"
    assert make(output="direct").output_mode == "direct"
    assert {name: numbers.output for name, numbers in PRESETS.items()} == {
        "paper": "direct",
        "standard": "residual",
        "small": "residual",
        "tiny": "residual",
    }


def test_guidance_reaches_the_image_from_one_encoding() -> None:
    generator = make(output="direct").eval()
    calls = []
    generator.encoder.stem.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        encoded = generator.encode(torch.rand(1, 3, 64, 64))
        first, second = (generator.decode(encoded, vector) for vector in torch.randn(2, 1, 64))
    assert len(calls) == 1
    assert (first - second).abs().max() > 1e-4


@pytest.mark.parametrize("output", ["direct", "residual"])
def test_every_parameter_learns(output: str) -> None:
    generator = make(output=output)
    enhanced = generator(torch.rand(2, 3, 64, 64), torch.randn(2, 64))
    (enhanced * torch.randn_like(enhanced)).sum().backward()
    idle = [
        name
        for name, value in generator.named_parameters()
        if value.grad is None or not value.grad.abs().sum() > 0
    ]
    assert idle == []


def test_two_guides_before_one_backward() -> None:
    generator = make()
    encoded = generator.encode(torch.rand(2, 3, 32, 32))
    (
        generator.decode(encoded, torch.randn(2, 64)) - generator.decode(encoded, torch.randn(2, 64))
    ).square().sum().backward()
    assert generator.encoder.stem[0].weight.grad is not None


def test_same_input_same_output_to_the_bit() -> None:
    generator = make().eval()
    lq, guidance = torch.rand(1, 3, 45, 38), torch.randn(1, 64)
    with torch.no_grad():
        assert torch.equal(generator(lq, guidance), generator(lq, guidance))
