"""Average gradient, entropy and field of view by hand and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2gray
from skimage.measure import shannon_entropy

from hqgnet.metrics.luminance import luminance
from hqgnet.metrics.no_reference import average_gradient, entropy, field_of_view
from hqgnet.metrics.sums import MeanSums

METRICS = (average_gradient, entropy)


def disc(side: int, radius: float, centre: tuple[float, float] | None = None) -> torch.Tensor:
    """(side, side) bool."""
    row, column = centre or ((side - 1) / 2, (side - 1) / 2)
    axis = torch.arange(side)
    return (axis[:, None] - row) ** 2 + (axis[None, :] - column) ** 2 <= radius**2


def photograph(brightness: float = 0.5, border_noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A textured disc (1, 3, 128, 128) on black, and its true field of view (128, 128)."""
    generator = torch.Generator().manual_seed(0)
    inside = disc(128, 52)
    texture = brightness * (0.7 + 0.6 * torch.rand((3, 128, 128), generator=generator))
    noise = border_noise * torch.randn((3, 128, 128), generator=generator)
    colour = torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1)
    return (texture * colour * inside + noise).clamp(0, 1).unsqueeze(0), inside


def test_average_gradient_by_hand() -> None:
    image = torch.tensor([[0.0, 10.0, 10.0], [20.0, 10.0, 40.0], [0.0, 0.0, 0.0]]).view(1, 1, 3, 3) / 255
    # (dx, dy) at the four pixels with both neighbours: (10, 20) (0, 0) (-10, -20) (30, -10).
    expected = (2 * math.sqrt((100 + 400) / 2) + 0 + math.sqrt((900 + 100) / 2)) / 4
    assert average_gradient(image).item() == pytest.approx(expected, rel=1e-6)


def test_average_gradient_of_a_ramp_and_of_its_colours() -> None:
    ramp = (torch.arange(64.0) * 3 / 255).expand(1, 3, 32, 64)
    assert average_gradient(ramp).item() == pytest.approx(3 / math.sqrt(2), rel=1e-5)
    green = ramp * torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert average_gradient(green).item() == pytest.approx(0.587043 * 3 / math.sqrt(2), rel=1e-5)


def test_average_gradient_ignores_what_lies_outside_the_field_of_view() -> None:
    ramp = (torch.arange(64.0) * 3 / 255).expand(1, 1, 64, 64).clone()
    inside = disc(64, 20).view(1, 1, 64, 64)
    cut = ramp * inside
    assert average_gradient(cut, inside.float()).item() == pytest.approx(3 / math.sqrt(2), rel=1e-5)
    assert average_gradient(cut).item() != pytest.approx(3 / math.sqrt(2), rel=0.1)


@pytest.mark.parametrize("levels", [1, 2, 4, 256])
def test_entropy_of_equally_frequent_levels(levels: int) -> None:
    image = (torch.arange(256) % levels).float().view(1, 1, 16, 16) / 255
    assert entropy(image).item() == pytest.approx(math.log2(levels), abs=1e-12)


def test_entropy_equals_skimage_on_eight_bit_grey_and_colour() -> None:
    values = torch.randint(0, 256, (2, 3, 40, 30), generator=torch.Generator().manual_seed(0))
    grey = [shannon_entropy(image[0].numpy()) for image in values]
    assert entropy(values[:, :1] / 255).tolist() == pytest.approx(grey, rel=1e-12)
    for figure, image in zip(entropy(values / 255), values, strict=True):
        # scikit-image's own rgb2gray has other weights (BT.709).
        weighted = np.einsum("chw,c->hw", image.numpy(), (0.298936, 0.587043, 0.114021))
        assert figure.item() == pytest.approx(shannon_entropy(np.floor(weighted + 0.5)), rel=1e-9)


def test_entropy_counts_only_the_field_of_view() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = torch.tensor([0.2, 0.4, 0.6, 0.8])
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 4:] = 1
    assert entropy(image, inside).item() == pytest.approx(2)
    assert entropy(image).item() == pytest.approx(0.5 * 1 + 0.5 * 3)


def test_luminance_keeps_grey_and_clips() -> None:
    grey = torch.tensor([-0.5, 0.0, 0.25, 2.0]).view(1, 1, 1, 4)
    assert luminance(grey).flatten().tolist() == [0, 0, 63.75, 255]
    assert torch.allclose(luminance(grey.expand(1, 3, 1, 4)), luminance(grey))
    colour = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    other_weights = rgb2gray(colour[0].permute(1, 2, 0).numpy()) * 255
    assert not np.allclose(luminance(colour)[0].numpy(), other_weights, atol=1)


@pytest.mark.parametrize("level", [0.0, 0.37, 1.0])
def test_constant_images_have_no_gradient_and_no_entropy(level: float) -> None:
    image = torch.full((1, 3, 16, 16), level)
    assert average_gradient(image).item() == pytest.approx(0, abs=1e-9)
    assert entropy(image).item() == 0


@pytest.mark.parametrize("metric", METRICS)
def test_nan_images_and_empty_fields_of_view_are_undefined(metric: object) -> None:
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[0, 0, 2, 2] = math.nan
    inside = torch.ones(3, 1, 8, 8)
    inside[1] = 0
    sums = MeanSums.of(metric(images, inside))  # type: ignore[operator]
    assert (sums.count, sums.undefined) == (1, 2)
    # A NaN outside the field of view is nobody's business.
    inside[0, 0, :4] = 0
    assert MeanSums.of(metric(images, inside)).count == 2  # type: ignore[operator]


@pytest.mark.parametrize("metric", METRICS)
def test_wrong_shapes_are_refused(metric: object) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\)"):
        metric(torch.zeros(1, 4, 8, 8))  # type: ignore[operator]
    with pytest.raises(ValueError, match="field of view"):
        metric(torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 4, 4))  # type: ignore[operator]


@pytest.mark.parametrize(("brightness", "noise"), [(0.6, 0.0), (0.6, 0.03), (0.15, 0.0)])
def test_field_of_view_finds_the_disc(brightness: float, noise: float) -> None:
    images, inside = photograph(brightness, noise)
    found = field_of_view(images)
    assert found.shape == (1, 1, 128, 128)
    assert found.dtype == torch.float32
    region = found[0, 0] > 0.5
    overlap = (region & inside).sum() / (region | inside).sum()
    assert overlap > 0.9
    assert not (region & ~disc(128, 53)).any()


def test_field_of_view_keeps_a_dark_side_of_a_dark_image_and_leaves_out_a_grey_border() -> None:
    images, inside = photograph(brightness=0.15)
    images[..., :64] *= 0.2  # retina of 4 to 8 of 255 on the left
    whole = (field_of_view(images)[0, 0] > 0.5) & inside
    assert whole.sum() > 0.85 * inside.sum()
    bright, _ = photograph()
    grey_border = torch.where(inside, bright, 11 / 255)
    assert (field_of_view(grey_border) != field_of_view(bright)).sum() < 0.05 * inside.sum()


def test_field_of_view_fills_dark_spots_and_leaves_out_labels() -> None:
    images, _ = photograph()
    images[..., disc(128, 8, centre=(64, 50))] = 0
    images[..., 2:8, 2:20] = 1  # a written label in the corner
    found = field_of_view(images)[0, 0]
    assert found[64, 50] == 1
    assert found[:10, :22].sum() == 0


@pytest.mark.parametrize("level", [0.0, 0.03, 0.5, math.nan, math.inf])
def test_field_of_view_of_an_image_without_border_is_all_of_it(level: float) -> None:
    assert field_of_view(torch.full((2, 1, 32, 40), level)).sum() == 2 * 32 * 40


def test_field_of_view_too_small_to_be_true_is_all_of_the_image() -> None:
    image = torch.zeros(1, 3, 100, 100)
    image[..., 40:60, 40:60] = 1
    assert field_of_view(image).all()


def test_field_of_view_makes_figures_independent_of_the_border() -> None:
    images, _ = photograph()
    padded = torch.nn.functional.pad(images, (40, 40, 40, 40))
    for metric in METRICS:
        assert metric(padded, field_of_view(padded)).item() == pytest.approx(
            metric(images, field_of_view(images)).item(), rel=1e-9
        )
