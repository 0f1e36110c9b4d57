"""Axes: from numbers to places in a drawing, with round tick marks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hqgnet.report.figures import MINUS

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Attributes:
        place: In the drawing.
        label: What stands there.
    """

    place: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A straight scale.

    Attributes:
        low: Number at ``start``.
        high: Number at ``end``; above ``low``.
        start: Place in the drawing.
        end: Place in the drawing.
        step: Between tick marks.
    """

    low: float
    high: float
    start: float
    end: float
    step: float

    @classmethod
    def over(
        cls, values: Iterable[float], start: float, end: float, *, marks: int = 5, whole: bool = False
    ) -> Axis:
        """Return an axis that holds all values and ends on tick marks.

        Args:
            values: Finite; at least one.
            start: Place of the lowest.
            end: Place of the highest.
            marks: About so many tick marks.
            whole: Numbers are counted: no tick mark between two whole ones.
        """
        numbers = list(values)
        low, high = min(numbers), max(numbers)
        if high - low <= 1e-9 * max(1.0, abs(high)):
            spread = 0.5 if whole else max(abs(high) * 0.05, 1e-6)
            low, high = low - spread, high + spread
        step = _round_step((high - low) / marks)
        if whole:
            return cls(low, high, start, end, max(1.0, math.ceil(step)))
        return cls(math.floor(low / step) * step, math.ceil(high / step) * step, start, end, step)

    def place(self, value: float) -> float:
        """Return where a number lies, rounded to a hundredth of a unit of the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[Tick]:
        """Return the tick marks."""
        first, last = math.ceil(self.low / self.step - 1e-6), math.floor(self.high / self.step + 1e-6)
        decimals = max(0, -math.floor(math.log10(self.step) + 1e-9))
        decimals += round(self.step * 10**decimals, 6) % 1 > 0  # steps of 2.5
        values = [number * self.step + 0.0 for number in range(first, last + 1)]
        return [Tick(self.place(value), f"{value:.{decimals}f}".replace("-", MINUS)) for value in values]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))
