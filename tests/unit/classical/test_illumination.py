"""The classical enhancers' shared steps, against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hqgnet.classical.illumination import (
    box_mean,
    brightness,
    guided_filter,
    illumination,
    lit_share,
    mean_where_lit,
    window_radius,
    with_brightness,
)
from tests.unit.classical.scenes import disc, in_a_disc, scene


def window(image: Tensor, row: int, column: int, radius: int) -> Tensor:
    return image[
        max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1
    ].double()


@pytest.mark.parametrize("radius", [0, 1, 3, 20])
def test_box_mean_pixel_by_pixel(radius: int) -> None:
    image = torch.rand(9, 12, generator=torch.Generator().manual_seed(0))
    result = box_mean(image[None, None], radius)[0, 0]
    for row in range(9):
        for column in range(12):
            expected = window(image, row, column, radius).mean().float()
            torch.testing.assert_close(result[row, column], expected)


def test_guided_filter_pixel_by_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    guide, source = torch.rand(8, 10, generator=generator), torch.rand(8, 10, generator=generator)
    radius, edge = 2, 0.01
    result = guided_filter(guide[None, None], source[None, None], radius, edge)[0, 0]
    slopes, offsets = torch.zeros(8, 10), torch.zeros(8, 10)
    for row in range(8):
        for column in range(10):
            x, y = (window(image, row, column, radius) for image in (guide, source))
            # Ridge regression of the source on the guide in this window.
            slope = ((x - x.mean()) * (y - y.mean())).mean() / (x.var(correction=0) + edge)
            slopes[row, column], offsets[row, column] = slope, y.mean() - slope * x.mean()
    for row in range(8):
        for column in range(10):
            slope, offset = (window(field, row, column, radius).mean() for field in (slopes, offsets))
            expected = (slope * guide[row, column] + offset).float()
            torch.testing.assert_close(result[row, column], expected, rtol=1e-4, atol=1e-5)


def test_guided_filter_keeps_edges_and_takes_noise() -> None:
    step = torch.zeros(1, 1, 32, 32)
    step[..., 16:] = 1
    noisy = step + 0.01 * torch.randn(step.shape, generator=torch.Generator().manual_seed(0))
    result = guided_filter(noisy, noisy, 4)
    assert (result[..., :14].std(), result[..., 18:].std()) < (0.005, 0.005)
    assert result[..., 16].mean() - result[..., 15].mean() > 0.9


def test_guided_filter_works_image_by_image_and_channel_by_channel() -> None:
    guide, source = torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16)
    together = guided_filter(guide, source, 3)
    alone = guided_filter(guide[1:], source[1:, 2:], 3)
    torch.testing.assert_close(together[1:, 2:], alone)


def test_illumination_is_smoother_than_the_image_and_never_0() -> None:
    image = brightness(in_a_disc(scene())[None])
    light = illumination(image, 6)
    inside = disc(image)
    assert light.min() > 0
    assert light[..., inside].std() < image[..., inside].std()


def test_the_border_is_unlit_and_the_picture_lit() -> None:
    image = in_a_disc(scene(), noise=0.02)
    for exposure in (1.0, 0.2):
        lit = lit_share(illumination(brightness(exposure * image[None]), 3))[0, 0]
        inside = disc(image)
        assert lit[inside].mean() > 0.95
        assert lit[:6, :6].max() < 0.05


def test_mean_counts_the_lit_alone() -> None:
    values, lit = torch.rand(2, 1, 5, 5), (torch.rand(2, 1, 5, 5) > 0.5).float()
    means = mean_where_lit(values, lit).flatten()
    for sample in range(2):
        torch.testing.assert_close(means[sample], values[sample][lit[sample] > 0].mean())


def test_brighter_without_new_colours() -> None:
    images = scene()[None]
    bright = brightness(images)
    everywhere = torch.ones_like(bright)
    result = with_brightness(images, bright, 1.2 * bright, everywhere)
    torch.testing.assert_close(brightness(result)[..., :2, :], 1.2 * bright[..., :2, :])
    torch.testing.assert_close(result[:, 0] / result[:, 1], images[:, 0] / images[:, 1])
    assert with_brightness(images, bright, 9 * bright, everywhere).max() <= 1 + 1e-6
    assert torch.equal(with_brightness(images, bright, bright / 2, 0 * bright), images)


def test_windows_are_shares_of_the_shorter_side() -> None:
    assert window_radius(torch.empty(1, 1, 200, 100), 0.1) == 5
    assert window_radius(torch.empty(1, 1, 16, 16), 0.01) == 1
