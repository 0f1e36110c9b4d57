"""Line plots in a grid as one SVG file that needs nothing else: for papers, slides and viewers of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgnet.report.frame import HEIGHT, WIDTH
from hqgnet.report.lines import LinePlot
from hqgnet.report.page import render

_GAP, _CAPTION, _HEAD, _FOOT = 20, 26, 44, 34
_LEGEND_STEP = 7.2
"""Units of the drawing that a letter of the legend takes."""
_MARK = 34


@dataclass(frozen=True)
class Panel:
    """A plot with its caption.

    Attributes:
        caption: Above it.
        plot: Its key is unique in the file.
    """

    caption: str
    plot: LinePlot


def line_plots_svg(title: str, rows: Sequence[Sequence[Panel]]) -> str:
    """Return the file's text: the same plots give the same text.

    Args:
        title: Of the whole.
        rows: Panels from top to bottom and left to right; at least one. The first's legend stands for all.
    """
    across = max(len(row) for row in rows)
    width = _GAP + across * (WIDTH + _GAP)
    height = _HEAD + len(rows) * (HEIGHT + _CAPTION + _GAP) + _FOOT
    placed = [
        (panel, _GAP + column * (WIDTH + _GAP), _HEAD + line * (HEIGHT + _CAPTION + _GAP) + _CAPTION)
        for line, row in enumerate(rows)
        for column, panel in enumerate(row)
    ]
    legend, x = [], float(_GAP)
    for entry in rows[0][0].plot.legend:
        legend.append((entry, round(x, 1)))
        x += _MARK + _LEGEND_STEP * len(entry.label) + _GAP
    told = [f"{panel.caption}. {panel.plot.frame.description}" for panel, _, _ in placed]
    return render(
        Path(__file__).parent / "templates",
        "line_plots.svg",
        title=title,
        description=" ".join(told),
        width=max(width, round(x)),
        height=height,
        placed=placed,
        legend=legend,
        legend_y=height - _FOOT + 6,
    )
