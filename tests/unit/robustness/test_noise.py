"""Noise has the statistics that its strength says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from hqgnet.robustness.noise import NOISES, Noise, add_noise, random_source

SIDE = 160


def flat(value: float) -> torch.Tensor:
    return torch.full((3, SIDE, SIDE), value)


def noisy(value: float, noise: Noise, strength: float, seed: int = 0) -> torch.Tensor:
    return add_noise(flat(value), noise, strength, random_source(seed, noise))


@pytest.mark.parametrize("strength", [0.02, 0.1])
def test_gaussian_noise_is_normal_with_its_standard_deviation(strength: float) -> None:
    found = (noisy(0.5, "gaussian", strength) - 0.5).double().numpy().ravel() / strength
    error = 1 / math.sqrt(found.size)
    assert abs(found.mean()) < 5 * error
    assert found.std() == pytest.approx(1, abs=5 * error)
    assert stats.kstest(found[:5000], "norm").pvalue > 0.001
    channels = found.reshape(3, -1)
    assert abs(np.corrcoef(channels)[0, 1]) < 5 / SIDE  # each channel has its own


@pytest.mark.parametrize(("value", "strength"), [(0.25, 0.2), (0.8, 0.1)])
def test_poisson_noise_counts_photons(value: float, strength: float) -> None:
    counts = noisy(value, "poisson", strength).double().numpy().ravel() / strength**2
    assert np.abs(counts - counts.round()).max() < 1e-4
    expected = value / strength**2
    assert counts.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / counts.size))
    assert (counts * strength**2).std() == pytest.approx(strength * math.sqrt(value), rel=0.02)
    share = (counts.round() == round(expected)).mean()
    assert share == pytest.approx(stats.poisson.pmf(round(expected), expected), rel=0.1)


def test_black_stays_black_under_poisson_noise() -> None:
    assert torch.equal(noisy(0.0, "poisson", 0.4), flat(0.0))


@pytest.mark.parametrize("strength", [0.05, 0.4, 1.0])
def test_salt_and_pepper_turn_the_said_share_of_pixels(strength: float) -> None:
    found = noisy(0.3, "salt-pepper", strength)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    white, black = (found[0] == 1).double().mean(), (found[0] == 0).double().mean()
    for share in (float(white), float(black)):
        assert share == pytest.approx(strength / 2, abs=5 * math.sqrt(strength / 2) / SIDE)
    untouched = found[(found != 0) & (found != 1)]
    assert torch.equal(untouched, torch.full_like(untouched, 0.3))


@pytest.mark.parametrize("noise", NOISES)
def test_the_same_seed_gives_the_same_noise_and_another_another(noise: Noise) -> None:
    ramp = torch.linspace(0, 1, 3 * 32 * 32).view(3, 32, 32)
    first = add_noise(ramp, noise, 0.2, random_source(1, noise, 0))
    assert torch.equal(first, add_noise(ramp, noise, 0.2, random_source(1, noise, 0)))
    assert not torch.equal(first, add_noise(ramp, noise, 0.2, random_source(1, noise, 1)))
    assert not torch.equal(first, add_noise(ramp, noise, 0.2, random_source(2, noise, 0)))
    assert first.dtype == torch.float32 and first.min() >= 0 and first.max() <= 1


def test_weaker_noise_is_the_same_pattern() -> None:
    weak, strong = noisy(0.5, "gaussian", 0.02) - 0.5, noisy(0.5, "gaussian", 0.06) - 0.5
    assert torch.allclose(3 * weak, strong, atol=1e-6)
    weak, strong = noisy(0.5, "salt-pepper", 0.1), noisy(0.5, "salt-pepper", 0.3)
    assert bool((strong == weak)[weak != 0.5].all())
