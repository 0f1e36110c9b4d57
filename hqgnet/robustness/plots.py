"""Figures against the strength of noise on the guide, as in Fig. 7: one SVG file."""

from __future__ import annotations

from dataclasses import replace

from hqgnet.report.figures import Figure, present, write
from hqgnet.report.lines import LinePlot, Series, line_plot
from hqgnet.report.svg_file import Panel, line_plots_svg
from hqgnet.robustness.noise import MEANING, NOISES, Noise
from hqgnet.robustness.results import Spread, original, spread
from hqgnet.robustness.study import Study

_ENHANCED = "_enhanced"


def noise_plots(study: Study, title: str) -> str | None:
    """Return the drawing as SVG: a row a main figure, a column a kind of noise; None without any noise.

    Every panel shows the mean over the drawings of the noise, the lowest and the highest, and the original
    images' figure; strength 0 is the fixed guide itself.
    """
    noises = [noise for noise in NOISES if any(one.name == noise for one in study.conditions)]
    rows = []
    for figure in present(study.rows.values(), main=True):
        panels = [(noise, _panel(study, noise, figure)) for noise in noises]
        row = [Panel(f"{figure.title}, {noise} noise on the guide", plot) for noise, plot in panels if plot]
        rows += [row] if row else []
    return line_plots_svg(title, rows) if rows else None


def _panel(study: Study, noise: Noise, figure: Figure) -> LinePlot | None:
    clean = study.rows[study.fixed].get(figure.name + _ENHANCED)
    points: list[tuple[float, Spread]] = [(0.0, Spread(clean, None, clean, clean))]
    points += [
        (condition.strength, spread(study, condition, figure.name))
        for condition in study.conditions
        if condition.name == noise and condition.strength is not None
    ]
    points.sort(key=lambda point: point[0])
    before = original(study, figure.name)
    series = [
        Series("original images", [(strength, before) for strength, _ in points], dashed=True),
        Series(
            "lowest and highest drawing",
            [(strength, found.lowest) for strength, found in points],
            0,
            dashed=True,
        ),
        Series("", [(strength, found.highest) for strength, found in points], 0, dashed=True),
        Series("enhanced: mean over drawings of the noise", [(s, found.mean) for s, found in points], 0),
    ]
    plot = line_plot(
        f"{figure.name.replace('_', '-')}-{noise}",
        f"{figure.title} against {noise} noise on the guide",
        figure.unit or "no unit",
        series,
        decimals=figure.decimals,
        x_title=MEANING[noise],
        whole=False,
    )
    if plot is None:
        return None
    told = f"{plot.frame.description} Original images: {write(before, figure.decimals)}."
    return replace(plot, frame=replace(plot.frame, description=told))
