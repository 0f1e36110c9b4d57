"""How the change of a figure is spread over images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

from hqgnet.report.bars import Bar
from hqgnet.report.figures import Figure, finite, write_change
from hqgnet.report.frame import BOTTOM, LEFT, RIGHT, TOP, Entry, Frame
from hqgnet.report.scale import Axis

_BINS = 12
_GAP = 1.5
_UNCHANGED = "same"


@dataclass(frozen=True)
class Histogram:
    """All that the template draws.

    Attributes:
        frame: Axes and words.
        bars: Each on one side of zero, but for that of the images that are unchanged as it is written.
        zero: Place of no change.
        mean: Place of the mean.
        legend: In order.
    """

    frame: Frame
    bars: list[Bar]
    zero: float
    mean: float
    legend: list[Entry]


def change_histogram(key: str, figure: Figure, changes: Iterable[object]) -> Histogram | None:
    """Lay a histogram out; zero is the edge of two bars, so that each is a gain or a loss.

    Changes that are written as 0 are neither: a narrow bar of their own stands on zero.

    Args:
        key: Unique on the page.
        figure: What changes.
        changes: One an image; missing, NaN and infinite ones are left out.

    Returns:
        None where no image has the figure.
    """
    known = [number for change in changes if (number := finite(change)) is not None]
    if not known:
        return None
    axis = Axis.over([0.0, *known], LEFT, RIGHT, marks=_BINS)
    moved = [change for change in known if round(change, figure.decimals)]
    counts: dict[int, int] = {}
    for change in moved:
        # The highest edge belongs to the last bar.
        number = min(math.floor(change / axis.step + 1e-9), round(axis.high / axis.step) - 1)
        counts[number] = counts.get(number, 0) + 1
    unchanged = len(known) - len(moved)
    up = Axis.over([0.0, float(max([unchanged, *counts.values()]))], BOTTOM, TOP, marks=4, whole=True)
    room = axis.step / 4 if unchanged else 0.0
    spans = [
        (
            _tone_class(figure, number),
            room if number == 0 else number * axis.step,
            -room if number == -1 else (number + 1) * axis.step,
            count,
        )
        for number, count in counts.items()
    ]
    if unchanged:
        spans.append((_UNCHANGED, max(-room, axis.low), min(room, axis.high), unchanged))
    bars = []
    for style, low, high, count in sorted(spans, key=itemgetter(1)):
        left, right, top = axis.place(low), axis.place(high), up.place(count)
        width = round(right - left - _GAP, 2)
        bars.append(Bar(style, round(left + _GAP / 2, 2), top, width, round(BOTTOM - top, 2)))
    mean = math.fsum(known) / len(known)
    lost = sum(change < 0 for change in moved)
    description = (
        f"{len(known)} images; mean {write_change(mean, figure.decimals)}, from "
        f"{write_change(min(known), figure.decimals)} to {write_change(max(known), figure.decimals)}; "
        f"{lost} below zero{f', {unchanged} unchanged' if unchanged else ''}."
    )
    ticks = Axis(axis.low, axis.high, LEFT, RIGHT, axis.step * 2).ticks()
    frame = Frame(key, figure.title, description, f"change of {figure.heading}", "images", ticks, up.ticks())
    return Histogram(frame, bars, axis.place(0.0), axis.place(mean), _legend(figure, bars))


def _tone_class(figure: Figure, number: int) -> str:
    if figure.better == "neither":
        return "s1"
    return "better" if (number >= 0) == (figure.better == "higher") else "worse"


def _legend(figure: Figure, bars: list[Bar]) -> list[Entry]:
    names = {
        "better": "better than the original",
        "worse": "worse than the original",
        "s1": "changed",
        _UNCHANGED: "unchanged",
    }
    shown = dict.fromkeys(bar.style for bar in bars)
    # Bars of one kind need no name where more is not always better.
    told = shown if figure.better != "neither" or len(shown) > 1 else {}
    entries = [Entry(names[style], style, swatch=True) for style in told]
    return [*entries, Entry("mean", "mean dashed", line=True)]
