"""Fits, half scale and normalised contrast against brute force, and against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hqgnet.metrics.grey_region import Region
from hqgnet.metrics.natural_scene import (
    blocks,
    fit_asymmetric,
    fit_symmetric,
    neighbour_products,
    normalised_contrast,
)


def noise(shape: tuple[int, ...] = (60, 80), seed: int = 0) -> np.ndarray:
    return np.floor(np.random.default_rng(seed).uniform(0, 256, shape))


def generalised_gaussian(shape: float, seed: int = 0, count: int = 400_000) -> np.ndarray:
    """Samples of density exp(-|x|^shape), by the gamma law of |x|^shape."""
    rng = np.random.default_rng(seed)
    return rng.gamma(1 / shape, size=count) ** (1 / shape) * rng.choice([-1.0, 1.0], count)


@pytest.mark.parametrize("padding", ["zero", "replicate"])
def test_normalised_contrast_is_its_formula_under_a_two_dimensional_window(padding: str) -> None:
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    grey, mode = noise(), {"zero": "constant", "replicate": "nearest"}[padding]
    mean = ndimage.correlate(grey, window, mode=mode)
    deviation = np.sqrt(np.abs(ndimage.correlate(grey**2, window, mode=mode) - mean**2))
    contrast, sigma = normalised_contrast(grey, padding)  # type: ignore[arg-type]
    assert np.allclose(sigma, deviation, atol=1e-9)
    assert np.allclose(contrast, (grey - mean) / (deviation + 1), atol=1e-9)


def test_contrast_of_flat_regions_is_exactly_zero() -> None:
    grey = noise()
    grey[:30, :40] = 173
    contrast, _ = normalised_contrast(grey, "replicate")
    assert (contrast[:27, :37] == 0).all()
    assert (contrast[31:, 41:] != 0).mean() > 0.99


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_the_symmetric_fit_finds_the_shape_that_samples_were_drawn_with(shape: float) -> None:
    samples = 3 * generalised_gaussian(shape)
    fitted, variance = fit_symmetric(samples.reshape(1, 400, 1000), None)
    assert fitted[0] == pytest.approx(shape, rel=0.02)
    assert variance[0] == pytest.approx(np.mean(samples**2), rel=1e-12)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_the_asymmetric_fit_finds_shape_and_both_sides(shape: float) -> None:
    samples = generalised_gaussian(shape)
    # Sides of width 1 and 3 are met with probabilities 1/4 and 3/4.
    right = np.random.default_rng(1).random(samples.size) < 0.75
    samples = np.where(right, 3 * np.abs(samples), -np.abs(samples))
    fit = fit_asymmetric(samples.reshape(1, 400, 1000), None)
    assert fit.shape[0] == pytest.approx(shape, rel=0.03)
    assert fit.right[0] / fit.left[0] == pytest.approx(3, rel=0.02)
    assert fit.left[0] * fit.width_ratio[0] == pytest.approx(1, rel=0.05)
    assert fit.mean[0] == pytest.approx(samples.mean(), rel=0.02)


def test_a_fit_takes_the_nearest_shape_of_the_grid_like_a_search_of_all() -> None:
    from scipy.special import gamma

    values = np.random.default_rng(3).standard_normal((5, 12, 12)) + 0.2
    shapes = np.arange(0.2, 10.0005, 0.001)
    curve = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    fit = fit_asymmetric(values, None)
    for block, found in zip(values, fit.shape, strict=True):
        left = np.sqrt(np.mean(block[block < 0] ** 2))
        right = np.sqrt(np.mean(block[block > 0] ** 2))
        skew = left / right
        ratio = np.mean(np.abs(block)) ** 2 / np.mean(block**2)
        normalised = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
        assert found == pytest.approx(shapes[np.argmin((curve - normalised) ** 2)], abs=1e-9)


def test_values_that_do_not_count_have_no_influence() -> None:
    values = np.random.default_rng(0).standard_normal((1, 20, 20))
    counted = np.zeros((1, 20, 20), dtype=bool)
    counted[:, :13] = True
    other = np.where(counted, values, 1e6)
    for fit in (fit_asymmetric, fit_symmetric):
        part, masked = fit(values[:, :13], None), fit(other, counted)
        first, second = (
            (part, masked) if isinstance(part, tuple) else (vars(part).values(), vars(masked).values())  # type: ignore[arg-type]
        )
        for one, two in zip(first, second, strict=True):
            assert two == pytest.approx(one)


def test_neighbour_products_go_around_within_a_block() -> None:
    values = np.arange(1.0, 10).reshape(1, 3, 3)
    products, counted = neighbour_products(values, np.eye(3, dtype=bool)[None], (0, 1))
    assert products[0].tolist() == [[3, 2, 6], [24, 20, 30], [63, 56, 72]]
    assert counted is not None and not counted.any()


def test_blocks_are_cut_row_by_row() -> None:
    grid = np.arange(24.0).reshape(4, 6)
    cut = blocks(grid, 2)
    assert cut.shape == (6, 2, 2)
    assert cut[4].tolist() == [[14, 15], [20, 21]]


def brute_half(values: np.ndarray) -> np.ndarray:
    """Rows halved by Keys' cubic (a = -1/2) of twice its width around each new pixel, edges mirrored."""
    count = len(values)
    mirrored = np.concatenate([np.arange(count), np.arange(count)[::-1]])
    rows = []
    for index in range((count + 1) // 2):
        centre = 2 * index + 0.5
        taps = np.arange(int(centre) - 5, int(centre) + 7)
        distance = np.abs(taps - centre) / 2
        weights = np.where(
            distance <= 1,
            1.5 * distance**3 - 2.5 * distance**2 + 1,
            np.where(distance <= 2, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2, 0),
        )
        rows.append((weights / weights.sum()) @ values[mirrored[taps % (2 * count)]])
    return np.array(rows)


@pytest.mark.parametrize("shape", [(40, 30), (41, 33), (32, 35)])
def test_half_scale_is_the_antialiased_cubic(shape: tuple[int, int]) -> None:
    grey = noise(shape)
    half = Region(grey, None).halved()
    assert half.inside is None
    assert np.allclose(half.grey, brute_half(brute_half(grey).T).T, atol=1e-9)


def test_a_halved_pixel_is_inside_only_if_all_it_was_made_of_is() -> None:
    inside = np.random.default_rng(0).random((64, 50)) < 0.995
    grey = noise((64, 50))
    half = Region(grey, inside).halved()
    changed = Region(np.where(inside, grey, 255 - grey), inside).halved()
    assert half.inside is not None
    moved = ~np.isclose(half.grey, changed.grey, atol=1e-9)
    assert not (moved & half.inside).any()
    assert 0.5 < half.inside.mean() < 1


def test_blocks_of_a_field_of_view_lie_around_its_centre() -> None:
    grey = noise((230, 210))
    assert np.array_equal(Region(grey, None).tiled(96).grey, grey[:192, :192])
    inside = np.ones((230, 210), dtype=bool)
    inside[0, 0] = False
    tiled = Region(grey, inside).tiled(96)
    assert np.array_equal(tiled.grey, grey[19:211, 9:201])
    assert tiled.inside is not None and tiled.inside.shape == (192, 192)
