"""A plot of lines over rounds, or over any other number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hqgnet.report.figures import finite, write
from hqgnet.report.frame import BOTTOM, LEFT, RIGHT, TOP, Entry, Frame, colour_class, mark_path
from hqgnet.report.scale import Axis

_MOST_MARKS = 30
"""A series has about so many at most; of more points, only some are marked."""
_NARROWEST_NAME = 6.0
"""Units of the drawing that a letter of a band's name takes."""


@dataclass(frozen=True)
class Series:
    """Points to be joined.

    Attributes:
        name: In the legend; empty keeps it out.
        points: Round, or other number, and value, in its order; a missing value leaves a gap.
        colour: Number of the series, from 0; None draws it strong, in the colour of text.
        dashed: Draws a thin broken line, on which a point is marked only where it has no neighbour.
    """

    name: str
    points: Sequence[tuple[float, object]]
    colour: int | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """Rounds that belong together, shaded in turns and named.

    Attributes:
        name: Of the phase.
        first: Round.
        last: Round.
    """

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class DrawnLine:
    """A series as it is drawn: CSS classes, the line's path and that of its marks."""

    style: str
    path: str
    marks: str


@dataclass(frozen=True)
class DrawnBand:
    """A band as it is drawn; its name is empty where there is no room."""

    name: str
    x: float
    width: float
    shaded: bool


@dataclass(frozen=True)
class LinePlot:
    """All that the template draws.

    Attributes:
        frame: Axes and words.
        lines: In drawing order.
        bands: Behind them.
        chosen: Place of the vertical line; None without one.
        legend: In order.
    """

    frame: Frame
    lines: list[DrawnLine]
    bands: list[DrawnBand]
    chosen: float | None
    legend: list[Entry]


def line_plot(
    key: str,
    title: str,
    y_title: str,
    series: Sequence[Series],
    *,
    decimals: int = 3,
    bands: Sequence[Band] = (),
    chosen: int | None = None,
    x_title: str = "round",
    whole: bool = True,
) -> LinePlot | None:
    """Lay a plot out.

    Args:
        key: Unique on the page.
        title: Above it.
        y_title: What the vertical axis shows, with its unit.
        series: What to draw.
        decimals: In the description.
        bands: Phases; cut to the rounds that are shown.
        chosen: Round to point out.
        x_title: What the horizontal axis shows.
        whole: It counts: only whole numbers are marked.

    Returns:
        None where no series has a value.
    """
    known = [(one, [(number, finite(value)) for number, value in one.points]) for one in series]
    shown = [(number, value) for _, points in known for number, value in points if value is not None]
    if not shown:
        return None
    rounds = {number for number, _ in shown}
    across = Axis.over(rounds, LEFT + 8, RIGHT - 8, marks=6, whole=whole)
    up = Axis.over([value for _, value in shown], BOTTOM, TOP)
    longest = max(sum(value is not None for _, value in points) for _, points in known)
    every = math.ceil(longest / _MOST_MARKS)
    drawn = [_draw(one, points, across, up, every) for one, points in known]
    told = [text for one, points in known if (text := _tell(one, points, decimals))]
    first, last = min(rounds), max(rounds)
    over = "rounds" if x_title == "round" else f"{x_title} from"
    place = across.place(chosen) if chosen is not None and first <= chosen <= last else None
    return LinePlot(
        Frame(key, title, f"Lines over {over} {first} to {last}. {' '.join(told)}", x_title, y_title,
              across.ticks(), up.ticks()),
        drawn,
        _draw_bands(bands, across, first, last),
        place,
        _legend(series, drawn, chosen=place is not None),
    )  # fmt: skip


def _draw(
    one: Series, points: Sequence[tuple[float, float | None]], across: Axis, up: Axis, every: int
) -> DrawnLine:
    path, marks, count = [], [], 0
    values = [None, *(value for _, value in points), None]
    for (number, value), before, after in zip(points, values, values[2:], strict=False):
        if value is None:
            continue
        x, y = across.place(number), up.place(value)
        path.append(f"{'M' if before is None else 'L'}{x} {y}")
        # A point without neighbours would not be seen without its mark.
        is_alone = before is None and after is None
        if is_alone or not (one.dashed or count % every):
            marks.append(mark_path(one.colour or 0, x, y, 2.4 if one.colour is None else 3.0))
        count += 1
    return DrawnLine(_style(one), "".join(path), "".join(marks))


def _style(one: Series) -> str:
    style = "mean" if one.colour is None else colour_class(one.colour)
    return f"{style} dashed" if one.dashed else style


def _tell(one: Series, points: Sequence[tuple[float, float | None]], decimals: int) -> str:
    values = [value for _, value in points if value is not None]
    if not one.name or one.dashed or not values:
        return ""
    if len(values) == 1:
        return f"{one.name}: {write(values[0], decimals)}."
    return f"{one.name}: from {write(values[0], decimals)} to {write(values[-1], decimals)}."


def _draw_bands(bands: Sequence[Band], across: Axis, first: float, last: float) -> list[DrawnBand]:
    drawn = []
    for number, band in enumerate(bands):
        begin, end = max(band.first, first), min(band.last, last)
        if begin > end:
            continue
        left = max(float(LEFT), across.place(begin - 0.5))
        width = round(min(float(RIGHT), across.place(end + 0.5)) - left, 2)
        name = band.name if width >= _NARROWEST_NAME * len(band.name) else ""
        drawn.append(DrawnBand(name, left, width, bool(number % 2)))
    return drawn


def _legend(series: Sequence[Series], drawn: Sequence[DrawnLine], *, chosen: bool) -> list[Entry]:
    entries = [
        Entry(one.name, line.style, mark_path(one.colour or 0, 12, 6, 3) if line.marks else "", line=True)
        for one, line in zip(series, drawn, strict=True)
        if one.name and line.path
    ]
    return [*entries, Entry("round of the best model", "chosen", "M12 0L12 12")] if chosen else entries
