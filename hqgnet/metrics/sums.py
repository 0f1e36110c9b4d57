"""Sums that sites send instead of figures, so that pooled means equal those of the union of their images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeGuard

from hqgnet.errors import DataError, Problem

LARGEST_COUNT = 2**53
"""Largest integer that every JSON reader takes exactly."""

_ROUNDING = 0.01
"""How far beyond its range a mean may lie: SSIM in single precision, the grid of the sums."""

_GRID = 2.0**30
_SQUARES_GRID = 2.0**26


def _on_grid(value: float, steps: float) -> float:
    """Round to a multiple of 1 / steps; numbers so large that floats are coarser than that pass unchanged."""
    return value if abs(value) * steps >= 2.0**53 else round(value * steps) / steps


@dataclass(frozen=True)
class MeanSums:
    """Sums from which the mean and the spread of a figure over images follow, mergeable with ``+``.

    Float addition depends on its order; the figures are therefore rounded to multiples of 2^-30 (1e-9), their
    squares to 2^-26, on which sums are exact up to 8 million and 130 million. A mean over sites then equals
    the mean over the union to the last bit, in whatever order sites answer.

    Attributes:
        sum: Sum of the figures.
        sum_of_squares: Sum of their squares.
        count: Number of images with a figure.
        undefined: Number of images for which the figure is not defined (an SNR without nerve, a NaN image).
    """

    sum: float = 0.0
    sum_of_squares: float = 0.0
    count: int = 0
    undefined: int = 0

    @classmethod
    def of(cls, values: Iterable[Any]) -> MeanSums:
        """Sums of one figure an image; NaN and infinite figures count as undefined.

        Args:
            values: Numbers, or a tensor or array of one dimension.
        """
        numbers = [float(value) for value in values]
        defined = [_on_grid(number, _GRID) for number in numbers if math.isfinite(number * number)]
        return cls(
            sum=math.fsum(defined),
            sum_of_squares=math.fsum(_on_grid(number * number, _SQUARES_GRID) for number in defined),
            count=len(defined),
            undefined=len(numbers) - len(defined),
        )

    def __add__(self, other: MeanSums) -> MeanSums:
        """Sums over the images of both."""
        return MeanSums(
            self.sum + other.sum,
            self.sum_of_squares + other.sum_of_squares,
            self.count + other.count,
            self.undefined + other.undefined,
        )

    @property
    def images(self) -> int:
        """Number of images, with and without a figure."""
        return self.count + self.undefined

    @property
    def mean(self) -> float | None:
        """Mean over the images with a figure; None where there is none."""
        return self.sum / self.count if self.count else None

    @property
    def standard_deviation(self) -> float | None:
        """Population standard deviation over the images with a figure; None where there is none."""
        if not self.count:
            return None
        mean = self.sum / self.count
        return math.sqrt(max(0.0, self.sum_of_squares / self.count - mean * mean))

    def is_within(self, lowest: float, highest: float) -> bool:
        """Whether figures that all lie in a range can have such sums.

        Args:
            lowest: Of the range.
            highest: Of the range.
        """
        if not self.count:
            return True
        largest = max(abs(lowest), abs(highest)) + _ROUNDING
        return (
            lowest - _ROUNDING <= self.sum / self.count <= highest + _ROUNDING
            and self.sum_of_squares / self.count <= largest**2
        )

    def to_json(self) -> dict[str, float | int]:
        """Plain JSON object with the four attributes."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_json(cls, payload: object, where: str = "sums") -> MeanSums:
        """Read what ``to_json`` wrote.

        Args:
            payload: Parsed JSON.
            where: What the reader should look at if it is malformed.

        Raises:
            DataError: A field is missing, unknown, of another type, not finite or negative; all of them are
                named.
        """
        reader = SumsReader(payload, where)
        sums = cls(
            sum=reader.number("sum"),
            sum_of_squares=reader.number("sum_of_squares"),
            count=reader.count("count"),
            undefined=reader.count("undefined"),
        )
        if sums.sum_of_squares < 0:
            reader.refuse("sum_of_squares", f"{sums.sum_of_squares} is negative")
        if not sums.count and (sums.sum or sums.sum_of_squares):
            reader.refuse("count", "0 images cannot have a sum")
        reader.finish()
        return sums


class SumsReader:
    """Strict reading of a JSON object of sums: collects every problem, then raises once.

    Args:
        payload: Parsed JSON.
        where: Name of the object, for the messages.
    """

    def __init__(self, payload: object, where: str) -> None:
        self._where = where
        self._problems: list[Problem] = []
        self._read: set[str] = set()
        self._payload: Mapping[str, object] = {}
        if isinstance(payload, Mapping):
            self._payload = payload
        else:
            self.refuse("", f"expected an object, got {type(payload).__name__}")
            self.finish()

    def refuse(self, name: str, what: str) -> None:
        """Note a problem of the field ``name``."""
        where = f"{self._where}.{name}" if name else self._where
        self._problems.append(
            Problem(where, what, "Send the sums as hqgnet.metrics writes them; check both versions.")
        )

    def take(self, name: str) -> object:
        """The field as it is; None, and a problem, if it is missing."""
        self._read.add(name)
        if name not in self._payload:
            self.refuse(name, "missing")
            return None
        return self._payload[name]

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.take(name)
        if name in self._payload:
            # Integers beyond the range of floats would raise in float().
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
                self.refuse(name, f"expected a number below 1e300, got {_shown(value)}")
            elif not math.isfinite(value):
                self.refuse(name, f"expected a finite number, got {value}")
            else:
                return float(value)
        return 0.0

    def count(self, name: str) -> int:
        """An integer from 0 to 2^53."""
        value = self.take(name)
        if is_count(value):
            return value
        if name in self._payload:
            self.refuse(name, f"expected an integer from 0 to 2^53, got {_shown(value)}")
        return 0

    def finish(self) -> None:
        """Raise all problems found, unknown fields among them.

        Raises:
            DataError: There is a problem.
        """
        for name in self._payload:
            if name not in self._read:
                self.refuse(str(name), "unknown field")
        if self._problems:
            raise DataError(self._problems)


def is_count(value: object) -> TypeGuard[int]:
    """Whether a JSON value is an integer from 0 to 2^53; True and 1.0 are not."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < LARGEST_COUNT else "a huge integer"
    return f"{type(value).__name__} {text[:40]}"
