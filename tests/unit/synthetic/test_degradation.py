"""Degradations against what they promise, kind by kind."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from hqgnet.data.degradation import PROFILES, PROFILES_OF_MODALITY, Degradation
from hqgnet.data.degradation_kinds import OPERATORS
from hqgnet.data.field_of_view import estimate_field_of_view


def only(kind: str, severity: float = 0.8) -> Degradation:
    return Degradation(kind, {kind: (severity, severity)})


@pytest.fixture
def image() -> np.ndarray:
    """A coloured frame with sharp stripes."""
    frame = np.full((64, 64, 3), (0.7, 0.4, 0.2))
    frame[:, ::8] *= 0.5
    return frame


def disc(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(rows, columns) < 0.45 * side


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_changes_the_image_and_stays_in_range(kind: str, channels: int, image: np.ndarray) -> None:
    clean = image[..., :channels]
    degraded = only(kind).apply(clean, np.random.default_rng(1))
    assert degraded.shape == clean.shape
    assert degraded.min() >= 0.0 and degraded.max() <= 1.0
    assert np.abs(degraded - clean).mean() > 0.004
    assert not np.shares_memory(degraded, clean)


@pytest.mark.parametrize("kind", ["blur", "defocus", "motion", "haze", "low_contrast"])
def test_kinds_that_wash_out_lower_the_contrast_of_stripes(kind: str, image: np.ndarray) -> None:
    degraded = only(kind).apply(image, np.random.default_rng(3))
    assert degraded[32, :, 1].std() < 0.95 * image[32, :, 1].std()


@pytest.mark.parametrize("kind", ["blur", "defocus", "motion"])
def test_blur_keeps_a_uniform_image(kind: str) -> None:
    flat = np.full((48, 48, 3), 0.37)
    np.testing.assert_allclose(only(kind).apply(flat, np.random.default_rng(0)), flat, atol=1e-9)


def test_low_contrast_keeps_the_mean_and_scales_the_deviation(image: np.ndarray) -> None:
    degraded = only("low_contrast", 0.5).apply(image, np.random.default_rng(0))
    np.testing.assert_allclose(degraded.mean((0, 1)), image.mean((0, 1)), atol=1e-9)
    np.testing.assert_allclose(degraded.std((0, 1)), 0.65 * image.std((0, 1)), rtol=1e-9)


def test_noise_has_the_stated_poisson_and_gaussian_variance() -> None:
    flat = np.full((200, 200, 1), 0.5)
    degraded = only("noise", 0.5).apply(flat, np.random.default_rng(0))
    expected = 0.5 / (250 / 0.5) + (0.035 * 0.5) ** 2
    assert degraded.mean() == pytest.approx(0.5, abs=0.002)
    assert degraded.var() == pytest.approx(expected, rel=0.03)


def test_exposure_moves_the_light_the_right_way(image: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    assert only("under_exposure").apply(image, rng).mean() < 0.7 * image.mean()
    assert only("over_exposure").apply(image, rng).mean() > 1.2 * image.mean()


def test_casts_shift_the_balance_of_red_and_blue(image: np.ndarray) -> None:
    def balance(x: np.ndarray) -> float:
        return float(x[..., 2].mean() / x[..., 0].mean())

    rng = np.random.default_rng(0)
    assert (
        balance(only("warm_cast").apply(image, rng))
        < balance(image)
        < balance(only("cool_cast").apply(image, rng))
    )


@pytest.mark.parametrize("name", PROFILES)
def test_outside_of_the_field_of_view_stays_black(name: str, image: np.ndarray) -> None:
    visible = disc()
    degraded = PROFILES[name].apply(image * visible[..., None], np.random.default_rng(2), visible)
    assert degraded[~visible].max() == 0.0
    assert degraded[visible].mean() > 0.02


def test_blur_does_not_pull_the_black_border_into_the_tissue() -> None:
    visible = disc()
    tissue = np.full((64, 64, 3), 0.6) * visible[..., None]
    degraded = only("blur", 1.0).apply(tissue, np.random.default_rng(0), visible)
    assert degraded[visible].min() > 0.59


@pytest.mark.parametrize("name", PROFILES)
def test_same_generator_same_image_other_generator_another(name: str, image: np.ndarray) -> None:
    first, again, other = (PROFILES[name].apply(image, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1e-3


def test_negative_lowest_severity_leaves_the_kind_out_of_that_share() -> None:
    rng = np.random.default_rng(0)
    drawn = [Degradation("now and then", {"shadow": (-0.3, 0.7)}).draw(rng) for _ in range(600)]
    present = [d["shadow"] for d in drawn if "shadow" in d]
    assert len(present) / 600 == pytest.approx(0.7, abs=0.06)
    assert min(present) > 0.0


def test_scaled_is_milder(image: np.ndarray) -> None:
    profile = PROFILES["cataract"]
    full, mild = (p.apply(image, np.random.default_rng(0)) for p in (profile, profile.scaled(0.4)))
    assert peak_signal_noise_ratio(image, mild, data_range=1) > 3 + peak_signal_noise_ratio(
        image, full, data_range=1
    )
    assert list(profile.scaled(0.4).kinds) == list(profile.kinds)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="fog"):
        Degradation("x", {"fog": (0.0, 1.0)})


def test_profiles_of_modalities_exist() -> None:
    assert {name for names in PROFILES_OF_MODALITY.values() for name in names} == set(PROFILES)


def test_field_of_view_is_found_on_a_not_quite_black_border() -> None:
    visible = disc(120)
    photograph = np.where(visible[..., None], (0.7, 0.3, 0.1), 0.02)
    photograph[50:60, 50:60] = 0.01
    found = estimate_field_of_view(photograph.max(axis=-1), rim=2)
    assert (found & visible).sum() / (found | visible).sum() > 0.97
    assert estimate_field_of_view(np.zeros((8, 8))).all()
