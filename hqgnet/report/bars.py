"""A plot of one bar a round, of one part or of several on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hqgnet.report.figures import finite
from hqgnet.report.frame import BOTTOM, LEFT, RIGHT, TOP, Entry, Frame, colour_class
from hqgnet.report.scale import Axis

_WIDEST = 26.0
_SHARE = 0.76


@dataclass(frozen=True)
class Part:
    """What a colour of the bars stands for.

    Attributes:
        name: In the legend.
        values: One a bar; what is missing is not drawn.
    """

    name: str
    values: Sequence[object]


@dataclass(frozen=True)
class Bar:
    """A rectangle."""

    style: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class BarPlot:
    """All that the template draws."""

    frame: Frame
    bars: list[Bar]
    legend: list[Entry]


def bar_plot(
    key: str, title: str, y_title: str, description: str, places: Sequence[int], parts: Sequence[Part]
) -> BarPlot | None:
    """Lay a plot out.

    Args:
        key: Unique on the page.
        title: Above it.
        y_title: What the vertical axis shows, with its unit.
        description: In words, for who does not see it.
        places: Round of each bar.
        parts: From the bottom up; values are 0 or more.

    Returns:
        None where there is nothing to draw.
    """
    heights = [[max(0.0, finite(value) or 0.0) for value in part.values] for part in parts]
    totals = [sum(column) for column in zip(*heights, strict=True)]
    if not totals or not max(totals):
        return None
    first, last = min(places), max(places)
    across = Axis.over([first - 0.5, last + 0.5], LEFT, RIGHT, marks=6, whole=True)
    up = Axis.over([0.0, max(totals)], BOTTOM, TOP)
    width = min(_WIDEST, _SHARE * (RIGHT - LEFT) / (last - first + 1))
    bars = []
    for place, *column in zip(places, *heights, strict=True):
        below, x = 0.0, across.place(place) - width / 2
        for number, value in enumerate(column):
            if value:
                top = up.place(below + value)
                height = round(up.place(below) - top, 2)
                bars.append(Bar(colour_class(number), round(x, 2), top, round(width, 2), height))
            below += value
    legend = [Entry(part.name, colour_class(number), swatch=True) for number, part in enumerate(parts)]
    return BarPlot(Frame(key, title, description, "round", y_title, across.ticks(), up.ticks()), bars, legend)
