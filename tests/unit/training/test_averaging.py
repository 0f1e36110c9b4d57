"""The published average: every round by its age, the first one too."""

from __future__ import annotations

import pytest

from hqgnet.training.averaging import latest_share


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.6, 0.8, 0.999])
@pytest.mark.parametrize("rounds", [1, 2, 5, 24])
def test_rounds_count_by_their_age(decay: float, rounds: int) -> None:
    weights = [decay ** (rounds - number) for number in range(1, rounds + 1)]
    values = [float(number * number) for number in range(1, rounds + 1)]
    average = 0.0
    for number, value in enumerate(values, start=1):
        average += latest_share(decay, number) * (value - average)
    wanted = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
    assert average == pytest.approx(wanted, rel=1e-9)


def test_a_long_average_begins_as_the_plain_mean() -> None:
    assert latest_share(0.999, 2) == pytest.approx(1 / 2, abs=1e-3)
    assert latest_share(0.999, 4) == pytest.approx(1 / 4, abs=1e-3)
