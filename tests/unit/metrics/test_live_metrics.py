"""What NIQE, BRISQUE and PIQE have in common: order of distortions, field of view, unsuitable images.

Their values are held to others' in ``tests/oracles``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from hqgnet.metrics.brisque import brisque
from hqgnet.metrics.grey_region import FLAT
from hqgnet.metrics.niqe import niqe
from hqgnet.metrics.piqe import piqe
from hqgnet.metrics.scoring import METRICS, score, suitability

LIVE: list[Callable[..., torch.Tensor]] = [niqe, brisque, piqe]


def photograph() -> torch.Tensor:
    """(1, 3, 256, 256): NIQE tells natural images, and no drawing is one."""
    pixels = data.astronaut()[:256, 100:356].astype(np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)


def disc(side: int, radius: float) -> torch.Tensor:
    """(1, 1, side, side) float."""
    axis = torch.arange(side) - (side - 1) / 2
    return (axis[:, None] ** 2 + axis[None] ** 2 <= radius**2).float().view(1, 1, side, side)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return photograph()


@pytest.mark.parametrize("metric", LIVE)
def test_blur_is_worse(metric: Callable[..., torch.Tensor], image: torch.Tensor) -> None:
    blurred = torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, 0, 2.5, 2.5)))
    assert metric(blurred).item() > metric(image).item() + 1


@pytest.mark.parametrize("metric", [niqe, brisque])
def test_noise_is_worse(metric: Callable[..., torch.Tensor], image: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    assert metric(noisy).item() > metric(image).item() + 1


@pytest.mark.parametrize("metric", LIVE)
def test_a_batch_has_the_figures_of_its_images_and_grey_is_colour_of_equal_channels(
    metric: Callable[..., torch.Tensor], image: torch.Tensor
) -> None:
    other = image.flip(2, 3)
    both = metric(torch.cat([image, other]))
    assert both.dtype == torch.float64 and both.shape == (2,)
    assert both.tolist() == [metric(image).item(), metric(other).item()]
    grey = image[:, :1]
    assert metric(grey).item() == metric(grey.expand(1, 3, -1, -1)).item()


@pytest.mark.parametrize("metric", LIVE)
def test_an_image_is_judged_as_its_eight_bit_file(
    metric: Callable[..., torch.Tensor], image: torch.Tensor
) -> None:
    saved = (image * 255).round() / 255
    assert metric(saved).item() == metric(image).item()
    assert metric(image.double()).item() == metric(image).item()


@pytest.mark.parametrize("metric", LIVE)
def test_what_lies_outside_the_field_of_view_has_no_influence_at_all(
    metric: Callable[..., torch.Tensor], image: torch.Tensor
) -> None:
    inside = disc(256, 118)
    generator = torch.Generator().manual_seed(1)
    surroundings = (torch.zeros_like(image), torch.rand(image.shape, generator=generator))
    figures = {metric(torch.where(inside > 0.5, image, outside), inside).item() for outside in surroundings}
    assert len(figures) == 1 and math.isfinite(figures.pop())
    holed = torch.where(inside > 0.5, image, torch.nan)
    assert math.isfinite(metric(holed, inside).item())
    # Without the field of view the border is judged too.
    black = image * inside
    assert metric(black).item() != pytest.approx(metric(black, inside).item(), rel=0.02)


@pytest.mark.parametrize("metric", LIVE)
def test_a_wider_border_changes_nothing(metric: Callable[..., torch.Tensor], image: torch.Tensor) -> None:
    inside = disc(256, 118)
    wider = [torch.nn.functional.pad(part, (13, 40, 7, 31)) for part in (image * inside, inside)]
    assert metric(*wider).item() == pytest.approx(metric(image * inside, inside).item(), rel=1e-12)


@pytest.mark.parametrize("metric", LIVE)
def test_a_field_of_view_of_everything_is_none(
    metric: Callable[..., torch.Tensor], image: torch.Tensor
) -> None:
    assert metric(image, torch.ones(1, 1, 256, 256)).item() == metric(image).item()


def one_pixel_off(level: float, row: int, column: int) -> torch.Tensor:
    """(1, 1, 256, 256): of one level but for one pixel."""
    image = torch.full((1, 1, 256, 256), level)
    image[..., row, column] += 0.2
    return image


def upright_stripes() -> torch.Tensor:
    """(1, 1, 200, 200): textured, but constant along every column."""
    stripes = torch.zeros(1, 1, 200, 200)
    stripes[..., ::2] = 1
    return stripes


@pytest.mark.parametrize("metric", LIVE)
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_flat_images_have_a_figure_that_is_worse_than_a_photographs(
    metric: Callable[..., torch.Tensor], image: torch.Tensor, level: float
) -> None:
    flat = torch.full((1, 3, 200, 200), level)
    assert metric(flat).item() == FLAT
    assert metric(torch.rand(1, 3, 256, 256) * (1 - disc(256, 120)), disc(256, 115)).item() == FLAT
    blurred = torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, 0, 2.5, 2.5)))
    assert metric(image).item() < metric(blurred).item() < FLAT


def test_images_in_which_nothing_is_left_to_judge_are_not_left_out_of_a_mean() -> None:
    assert niqe(one_pixel_off(0.4, 128, 128)).item() == FLAT
    spurred = disc(256, 115)
    spurred[..., 128, :20] = 1  # one pixel wide: no pixel that counts has seen it
    at_the_rim = one_pixel_off(0.4, 128, 5)
    assert niqe(at_the_rim, spurred).item() == brisque(at_the_rim, spurred).item() == FLAT
    assert niqe(upright_stripes()).item() == brisque(upright_stripes()).item() == FLAT


def test_the_figure_of_flat_images_bounds_piqe_alone() -> None:
    assert brisque(one_pixel_off(0.4, 128, 128)).item() > FLAT
    generator = torch.Generator().manual_seed(0)
    two_levels = (torch.rand(1, 1, 256, 256, generator=generator) > 0.5).float()
    assert niqe(two_levels).item() > FLAT
    assert piqe(one_pixel_off(0.4, 128, 128)).item() == FLAT > piqe(two_levels).item()


@pytest.mark.parametrize("name", ["niqe", "brisque", "piqe"])
def test_a_field_of_view_with_nothing_to_judge_has_no_figure_whatever_the_image(
    name: str, image: torch.Tensor
) -> None:
    cross = torch.zeros(1, 256, 256)
    cross[:, :, 124:132] = cross[:, 124:132] = 1
    for any_image in (image[0], torch.full((3, 256, 256), 0.4), torch.zeros(1, 256, 256)):
        assert score(any_image, name, cross).value is None
        assert "inside the field of view" in (suitability(any_image, name, cross) or "")


@pytest.mark.parametrize(("name", "side"), [("niqe", 192), ("brisque", 32), ("piqe", 32)])
def test_images_that_are_too_small_have_no_figure_and_a_reason(
    name: str, side: int, image: torch.Tensor
) -> None:
    metric = {"niqe": niqe, "brisque": brisque, "piqe": piqe}[name]
    enough, short = image[..., :side, :side], image[..., : side - 1, :side]
    assert math.isfinite(metric(enough).item()) and suitability(enough[0], name) is None
    assert math.isnan(metric(short).item())
    reason = suitability(short[0], name)
    assert reason is not None and f"{side} x {side - 1} pixels" in reason and str(side) in reason


@pytest.mark.parametrize("name", METRICS)
def test_nan_and_empty_fields_of_view_have_a_reason_and_spare_the_rest_of_the_batch(
    name: str, image: torch.Tensor
) -> None:
    broken = image.clone()
    broken[0, 1, 100, 100] = math.nan
    assert "NaN" in (suitability(broken[0], name) or "")
    assert score(image[0], name, torch.zeros(1, 256, 256)).value is None
    assert suitability(image[0], name, torch.zeros(1, 256, 256))
    metric = {"niqe": niqe, "brisque": brisque, "piqe": piqe}.get(name)
    if metric is not None:
        figures = metric(torch.cat([broken, image]))
        assert math.isnan(figures[0]) and figures[1] == metric(image)[0]


def test_narrow_fields_of_view_say_so(image: torch.Tensor) -> None:
    thin = torch.zeros(1, 256, 256)
    thin[:, :, 100:140] = 1
    assert suitability(image[0], "niqe", thin) == (
        "the field of view has 40 x 256 pixels, fewer than 192 a side"
    )


@pytest.mark.parametrize("metric", LIVE)
def test_wrong_shapes_are_refused(metric: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\)"):
        metric(torch.zeros(1, 4, 200, 200))
    for wrong in (torch.ones(1, 1, 4, 4), torch.ones(2, 1, 200, 200)):
        with pytest.raises(ValueError, match="field of view"):
            metric(torch.zeros(1, 3, 200, 200), wrong)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(KeyError):
        score(torch.zeros(1, 200, 200), "ssim")
