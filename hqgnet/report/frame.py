"""The drawing that all plots share: its size, the box that data are drawn in, and its words."""

from __future__ import annotations

from dataclasses import dataclass

from hqgnet.report.scale import Tick

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 54, 398, 34, 206
COLOURS = 8
"""How many series have a colour and a mark of their own; further ones begin anew."""


@dataclass(frozen=True)
class Frame:
    """A plot without its data.

    Attributes:
        key: Letters, digits and hyphens; no other plot of the page has it.
        title: Above the plot.
        description: What it shows, in words, for who does not see it.
        x_title: Below the axis.
        y_title: Above the axis.
        x_ticks: On the horizontal axis.
        y_ticks: On the vertical axis.
    """

    key: str
    title: str
    description: str
    x_title: str
    y_title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]

    width = WIDTH
    height = HEIGHT
    left = LEFT
    right = RIGHT
    top = TOP
    bottom = BOTTOM


@dataclass(frozen=True)
class Entry:
    """A line of a legend.

    Attributes:
        label: What it stands for.
        style: CSS classes.
        mark: Path of the mark, in a box from (0, 0) to (24, 12).
        line: Whether a line runs through the mark.
        swatch: Whether it is a filled box instead.
    """

    label: str
    style: str
    mark: str = ""
    line: bool = False
    swatch: bool = False


def colour_class(number: int) -> str:
    """Return the CSS class of a series by its number, from 0."""
    return f"s{number % COLOURS + 1}"


def mark_path(number: int, x: float, y: float, size: float = 3.2) -> str:
    """Return the outline of a series' mark: its shape tells series apart without colour.

    Args:
        number: Of the series, from 0.
        x: Centre.
        y: Centre.
        size: Half its side.
    """
    half = size
    shapes = (
        [(-0.4, -1), (0.4, -1), (1, -0.4), (1, 0.4), (0.4, 1), (-0.4, 1), (-1, 0.4), (-1, -0.4)],
        [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
        [(-0.4, -1.2), (0.4, -1.2), (0.4, 1.2), (-0.4, 1.2)],
        [(-1.2, -0.4), (1.2, -0.4), (1.2, 0.4), (-1.2, 0.4)],
        [(-1.1, -1.1), (0, -0.3), (1.1, -1.1), (0.3, 0), (1.1, 1.1), (0, 0.3), (-1.1, 1.1), (-0.3, 0)],
    )
    corners = [f"{x + half * dx:.2f} {y + half * dy:.2f}" for dx, dy in shapes[number % len(shapes)]]
    return f"M{'L'.join(corners)}Z"
