"""What every classical enhancer must do, and what each does alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hqgnet.classical import CLASSICAL, ata, idrlp
from hqgnet.classical.illumination import Enhance, brightness
from tests.unit.classical.scenes import disc, in_a_disc, likeness, scene, structure

METHODS = pytest.mark.parametrize("enhance", CLASSICAL.values(), ids=CLASSICAL.keys())
RETINEX = pytest.mark.parametrize("name", ["caefi", "ata"])


def test_the_three_of_the_paper() -> None:
    assert list(CLASSICAL) == ["caefi", "ata", "idrlp"]


@METHODS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (17, 40), (200, 31), (2, 2), (1, 40), (31, 1), (1, 1)]
)
def test_any_size_comes_back_in_range(enhance: Enhance, channels: int, height: int, width: int) -> None:
    noise = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    for images in (noise, 0.3 * noise, in_a_disc(noise)):
        enhanced = enhance(images)
        assert enhanced.shape == images.shape
        assert enhanced.dtype == images.dtype
        assert 0 <= enhanced.min() <= enhanced.max() <= 1


@METHODS
def test_each_image_of_a_batch_is_enhanced_on_its_own(enhance: Enhance) -> None:
    images = torch.stack([scene(), 0.2 * scene(), in_a_disc(scene())])
    together = enhance(images)
    for image, enhanced in zip(images, together, strict=True):
        torch.testing.assert_close(enhance(image), enhanced)


@METHODS
@pytest.mark.parametrize("channels", [1, 3])
def test_a_dim_image_gets_brighter_and_keeps_its_structure(enhance: Enhance, channels: int) -> None:
    dim = 0.25 * scene(channels)
    enhanced = enhance(dim)
    assert enhanced.mean() > 1.8 * dim.mean()
    assert structure(enhanced).std() > 1.8 * structure(dim).std()
    assert likeness(enhanced, dim) > 0.85


@METHODS
@pytest.mark.parametrize("channels", [1, 3])
def test_a_hazy_image_gains_contrast(enhance: Enhance, channels: int) -> None:
    hazy = 0.3 * scene(channels) + 0.7 * 0.95
    enhanced = enhance(hazy)
    before, after = (structure(image).std() / image.mean() for image in (hazy, enhanced))
    assert after > 1.15 * before
    assert likeness(enhanced, hazy) > 0.85


@METHODS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [1 / 255, 0.05, 0.5, 1.0])
def test_a_constant_image_stays_constant(enhance: Enhance, channels: int, level: float) -> None:
    enhanced = enhance(torch.full((channels, 24, 30), level))
    assert torch.isfinite(enhanced).all()
    torch.testing.assert_close(enhanced, enhanced[:, :1, :1].expand_as(enhanced), rtol=1e-3, atol=1e-3)


@METHODS
def test_black_stays_black(enhance: Enhance) -> None:
    assert torch.equal(enhance(torch.zeros(2, 3, 20, 20)), torch.zeros(2, 3, 20, 20))


@METHODS
def test_one_bright_pixel_in_the_dark(enhance: Enhance) -> None:
    image = torch.zeros(1, 300, 300)
    image[0, 151, 151] = 1
    enhanced = enhance(image)
    assert torch.isfinite(enhanced).all()
    assert enhanced[0, :100].max() < 0.01


@METHODS
def test_the_border_of_a_photograph_stays_dark(enhance: Enhance) -> None:
    image = in_a_disc(0.5 * scene(3, 96, 96), noise=3 / 255)
    enhanced = enhance(image)
    assert enhanced[:, :10, :10].max() < 5 / 255
    assert enhanced[:, disc(image)].mean() > image[:, disc(image)].mean()


@METHODS
def test_no_chance_takes_part_and_the_input_is_left_alone(enhance: Enhance) -> None:
    image = 0.4 * scene()
    before = image.clone()
    torch.manual_seed(1)
    first = enhance(image)
    torch.manual_seed(2)
    assert torch.equal(first, enhance(image))
    assert torch.equal(image, before)


@METHODS
def test_half_precision_comes_back_as_such(enhance: Enhance) -> None:
    enhanced = enhance(scene().bfloat16())
    assert enhanced.dtype == torch.bfloat16
    torch.testing.assert_close(enhanced.float(), enhance(scene().bfloat16().float()), rtol=0, atol=0.01)


@METHODS
@pytest.mark.parametrize(
    "image",
    [torch.rand(2, 20, 20), torch.rand(20, 20), torch.zeros(3, 20, 20, dtype=torch.uint8)],
    ids=["channels", "dimensions", "integers"],
)
def test_other_input_is_refused(enhance: Enhance, image: Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        enhance(image)


@RETINEX
def test_uneven_light_is_evened(name: str) -> None:
    falling = torch.linspace(1, 0.2, 72)
    image = scene() * falling
    enhanced = CLASSICAL[name](image)
    before, after = (float(each[..., :20].mean() / each[..., -20:].mean()) for each in (image, enhanced))
    assert after < 0.75 * before


@RETINEX
def test_colours_keep_their_hue(name: str) -> None:
    image = 0.4 * scene()
    enhanced = CLASSICAL[name](image)
    torch.testing.assert_close(enhanced[0] / enhanced[1], image[0] / image[1], rtol=1e-3, atol=1e-3)


def test_contrast_of_ata_can_be_tuned() -> None:
    image = 0.5 * scene()
    spreads = [float(structure(ata.enhance(image, contrast)).std()) for contrast in (0.5, 1.0, 2.0, 3.0)]
    assert spreads == sorted(spreads)
    assert spreads[-1] > 1.2 * spreads[1]
    with pytest.raises(ValueError, match="contrast"):
        ata.enhance(image, -1)


def test_ata_amplifies_structure_but_not_noise() -> None:
    noise = 0.02 * torch.randn(1, 64, 72, generator=torch.Generator().manual_seed(0))
    flat, drawn = 0.4 + noise, 0.4 + 0.2 * (scene(1) - 0.5)
    gains = [
        float(structure(ata.enhance(image, 3.0)).std() / structure(ata.enhance(image, 1.0)).std())
        for image in (flat, drawn)
    ]
    assert gains[0] < 1.4 < gains[1]


@pytest.mark.parametrize("transmission", [0.3, 0.5])
def test_idrlp_comes_closer_to_the_picture_behind_the_haze(transmission: float) -> None:
    clear = (scene() - 0.1).clamp(0, 1)
    hazy = clear * transmission + 0.95 * (1 - transmission)
    recovered = idrlp.enhance(hazy)
    assert (recovered - clear).abs().mean() < 0.5 * (hazy - clear).abs().mean()


def test_idrlp_takes_more_haze_where_there_is_more() -> None:
    """Haze that grows along the picture (by regions) is taken off by regions."""
    clear = (scene(1) - 0.1).clamp(0, 1)
    transmission = torch.linspace(0.9, 0.3, 72)
    hazy = clear * transmission + 0.95 * (1 - transmission)
    recovered = idrlp.enhance(hazy)
    rise = [
        float(brightness(image[None])[..., -15:].mean() - image[..., :15].mean())
        for image in (hazy, recovered)
    ]
    assert abs(rise[1]) < rise[0]
    gain = structure(recovered).abs() / structure(hazy).abs().clamp_min(1e-4)
    assert gain[..., -15:].median() > 1.2 * gain[..., :15].median()
