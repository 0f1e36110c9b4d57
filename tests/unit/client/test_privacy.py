"""Clipping, noise, and the account of it. Oracles: mpmath, Google's dp-accounting, published figures."""

from __future__ import annotations

import math
import stat
from pathlib import Path

import mpmath
import numpy as np
import pytest

from client.privacy import Ledger, gaussian_delta, gaussian_epsilon, protect
from client.refusals import RefusalError
from hqgnet.data.site_policy import NoisePolicy
from hqgnet.exchange.arrays import Arrays, distance
from hqgnet.exchange.update import SiteError


def update(seed: int = 0) -> tuple[Arrays, Arrays]:
    """What a site received, and what it would send: 5 away."""
    generator = np.random.default_rng(seed)
    received: Arrays = {
        "generator.weight": generator.normal(size=(40, 50)).astype(np.float32),
        "generator.norm.running_var": np.full(200, 1e-3, np.float32),
        "generator.scalar": np.array(0.5, np.float32),
        "generator.norm.num_batches_tracked": np.array(7, np.int64),
    }
    sent: Arrays = dict(received)
    step = generator.normal(size=(40, 50))
    sent["generator.weight"] = (received["generator.weight"] + 5 * step / np.linalg.norm(step)).astype(
        np.float32
    )
    sent["generator.norm.num_batches_tracked"] = np.array(9, np.int64)
    return received, sent


def exact_delta(mu: float, epsilon: float) -> mpmath.mpf:
    """Balle and Wang 2018, Theorem 8, with 60 digits."""
    with mpmath.workdps(60):
        m, e = mpmath.mpf(mu), mpmath.mpf(epsilon)
        return mpmath.ncdf(-e / m + m / 2) - mpmath.exp(e) * mpmath.ncdf(-e / m - m / 2)


@pytest.mark.parametrize("mu", [0.01, 0.5, 1.0, 4.0, 20.0, 80.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0, 10.0, 200.0, 5000.0])
def test_delta_is_exact_and_never_too_small(mu: float, epsilon: float) -> None:
    wanted = exact_delta(mu, epsilon)
    found = gaussian_delta(mu, epsilon)
    assert found >= wanted * (1 - 1e-9) - 1e-15
    assert found <= wanted * (1 + 1e-6) + 1e-15


@pytest.mark.parametrize(
    ("sigma", "delta", "epsilon"),
    [
        (3.730631634816464, 1e-5, 1.0),  # what published calibrations of the analytic Gaussian mechanism give
        (1.0, 0.126936737507, 1.0),  # delta = Phi(-1/2) - e Phi(-3/2), from tables
    ],
)
def test_published_figures(sigma: float, delta: float, epsilon: float) -> None:
    assert gaussian_epsilon(1 / sigma, delta) == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize("multiplier", [0.5, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("releases", [1, 40])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
def test_googles_accountant_agrees(multiplier: float, releases: int, delta: float, tmp_path: Path) -> None:
    accounting = pytest.importorskip("dp_accounting")
    noise = NoisePolicy(multiplier=multiplier, delta=delta, epsilon=1e9)
    ledger = Ledger(tmp_path / "privacy.json")
    epsilon = 0.0
    for _ in range(releases):
        epsilon = ledger.charge(noise)
    # Theirs has sensitivity 1: half of ours.
    wanted = accounting.get_epsilon_gaussian(multiplier / 2 / math.sqrt(releases), delta)
    assert epsilon == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_no_release_costs_nothing(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "privacy.json").epsilon(1e-5) == 0.0


def test_the_budget_stops_the_release_that_would_exceed_it(tmp_path: Path) -> None:
    file = tmp_path / "privacy.json"
    # 1 release costs 1.555, 2 cost 2.288 (mu = 0.4 and 0.566 at delta 1e-5).
    noise = NoisePolicy(multiplier=5.0, epsilon=2.0)
    ledger = Ledger(file)
    ledger.check(noise)
    assert ledger.charge(noise) == pytest.approx(1.555, abs=1e-3)
    before = file.read_bytes()
    for refused in (ledger.check, ledger.charge, Ledger(file).charge):
        with pytest.raises(RefusalError) as caught:
            refused(noise)
        assert caught.value.code is SiteError.POLICY_BUDGET
    assert file.read_bytes() == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # Weaker noise from now on does not make the first release cheaper, nor does a larger budget forget it.
    weaker = NoisePolicy(multiplier=2.5, epsilon=100.0)
    mu = math.sqrt(0.4**2 + 0.8**2)
    assert ledger.charge(weaker) == pytest.approx(gaussian_epsilon(mu, 1e-5))
    assert Ledger(file).epsilon(1e-5) == pytest.approx(gaussian_epsilon(mu, 1e-5))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"version":2,"releases":{}}',
        '{"version":1,"releases":{"0":1}}',
        '{"version":1,"releases":{"1.0":-1}}',
    ],
)
def test_a_damaged_ledger_lets_nothing_leave(text: str, tmp_path: Path) -> None:
    file = tmp_path / "privacy.json"
    file.write_text(text)
    with pytest.raises(RefusalError) as caught:
        Ledger(file).charge(NoisePolicy(multiplier=1.0, epsilon=1e6))
    assert caught.value.code is SiteError.INTERNAL
    assert file.read_text() == text


def test_a_short_update_passes_bit_for_bit() -> None:
    received, sent = update()
    protected, clipped = protect(sent, received, 5.1, None)
    assert not clipped
    assert all(protected[name] is sent[name] for name in sent)


def test_a_long_update_is_scaled_to_the_norm_as_one_vector() -> None:
    received, sent = update()
    sent["generator.scalar"] = received["generator.scalar"] + np.float32(2)
    protected, clipped = protect(sent, received, 0.5, None)
    assert clipped
    assert distance(protected, received) == pytest.approx(0.5, rel=1e-5)
    factor = 0.5 / math.sqrt(5**2 + 2**2)
    assert protected["generator.scalar"] == pytest.approx(0.5 + 2 * factor, rel=1e-5)
    moved = protected["generator.weight"] - received["generator.weight"]
    wanted = factor * (sent["generator.weight"] - received["generator.weight"])
    assert np.allclose(moved, wanted, atol=1e-6)
    assert protected["generator.norm.num_batches_tracked"] == 9
    assert {name: (a.dtype, a.shape) for name, a in protected.items()} == {
        name: (a.dtype, a.shape) for name, a in sent.items()
    }


def test_noise_has_the_promised_spread_and_differs_each_time() -> None:
    received, sent = update()
    deviations = []
    for _ in range(50):
        protected, _ = protect(sent, received, 5.1, 0.2)
        deviations.append(protected["generator.weight"] - sent["generator.weight"])
        variance = protected["generator.norm.running_var"]
        assert (variance >= 0).all() and (variance == 0).any()  # or a square root would give NaN
        assert protected["generator.norm.num_batches_tracked"] == 9
    noise = np.stack(deviations)
    # 100,000 draws of N(0, 1.02^2): standard errors of mean and spread are 0.0032 and 0.0023.
    assert abs(noise.mean()) < 0.016
    assert noise.std() == pytest.approx(1.02, abs=0.012)
    assert len(np.unique(noise[:, 0, 0])) == 50
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.12


def test_a_clipped_update_gets_noise_of_the_clipped_size() -> None:
    received, sent = update()
    protected, clipped = protect(sent, received, 0.01, 3.0)
    assert clipped
    noise = protected["generator.weight"] - received["generator.weight"]
    assert noise.std() == pytest.approx(0.03, rel=0.1)
