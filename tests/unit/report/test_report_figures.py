"""How figures are written, their intervals, and where plots put them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from hqgnet.report import figures
from hqgnet.report.bars import Part, bar_plot
from hqgnet.report.frame import BOTTOM, LEFT, RIGHT, TOP
from hqgnet.report.histogram import change_histogram
from hqgnet.report.interval import mean_interval
from hqgnet.report.lines import Band, Series, line_plot
from hqgnet.report.scale import Axis

NAN = math.nan


@pytest.mark.parametrize("value", [None, NAN, math.inf, -math.inf, True, "3"])
def test_what_is_no_number_is_not_written_as_one(value: object) -> None:
    for text in (
        figures.write(value, 2),
        figures.write_change(value, 2),
        figures.write_bytes(value),
        figures.write_seconds(value),
    ):
        assert text == "n/a"


def test_numbers_are_written_with_signs_and_units() -> None:
    assert figures.write(-1.255, 2) == "\u22121.25" or figures.write(-1.255, 2) == "\u22121.26"
    assert figures.write(-0.0004, 3) == "0.000"
    assert figures.write_change(0.5, 1) == "+0.5"
    assert figures.write_change(-0.04, 1) == "0.0"
    assert figures.write_change(-0.4, 1) == "\u22120.4"
    assert figures.write_bytes(999) == "999 bytes"
    assert figures.write_bytes(362_000_000) == "362 MB"
    assert figures.write_seconds(3661) == "1 h 1 min"
    assert figures.write_seconds(61) == "1 min 1 s"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (999.4, "999 bytes"),
        (999.6, "1 kB"),
        (999_400_000, "999 MB"),
        (999_700_000, "1 GB"),
        (1e15, "1000 TB"),
    ],
)
def test_bytes_are_rounded_before_their_unit_is_chosen(count: float, text: str) -> None:
    assert figures.write_bytes(count) == text


@pytest.mark.parametrize(("span", "text"), [(59.94, "59.9 s"), (59.97, "1 min 0 s"), (3599.6, "1 h 0 min")])
def test_seconds_are_rounded_before_their_unit_is_chosen(span: float, text: str) -> None:
    assert figures.write_seconds(span) == text


def test_a_change_is_judged_by_the_metric() -> None:
    assert figures.figure("psnr").tone(-1.0) == "worse"
    assert figures.figure("niqe").tone(-1.0) == "better"
    assert figures.figure("entropy").tone(1.0) == "other"
    assert figures.figure("psnr").tone(0.001) == "same"
    assert figures.figure("psnr").tone(NAN) == "other"
    assert figures.figure("of_tomorrow").title == "of tomorrow"


def test_only_figures_that_somebody_has_are_present() -> None:
    rows = [{"psnr_enhanced": None, "dice_enhanced": 0.5, "zeal_enhanced": 1.0}, {"ssim_enhanced": NAN}]
    assert [known.name for known in figures.present(rows)] == ["dice", "zeal"]
    assert [known.name for known in figures.present(rows, main=True)] == ["dice"]
    assert not figures.present([{"acc_image_enhanced": 0.5}])


def test_the_interval_is_that_of_the_mean() -> None:
    drawn = np.random.default_rng(1).normal(3.0, 2.0, 400)
    interval = mean_interval([*drawn, NAN, None])
    assert interval is not None and interval.images == 400
    assert interval.low is not None and interval.high is not None
    half = 1.96 * drawn.std() / math.sqrt(400)
    assert interval.mean == pytest.approx(drawn.mean())
    assert interval.low == pytest.approx(drawn.mean() - half, abs=0.05)
    assert interval.high == pytest.approx(drawn.mean() + half, abs=0.05)
    assert mean_interval([*drawn, NAN, None]) == interval
    assert mean_interval([None, NAN]) is None
    alone = mean_interval([2.0])
    assert alone is not None and (alone.mean, alone.low) == (2.0, None)


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-3e-7, 2e-7], [0.63, 0.68], [1e9, 3e9], [-12, 71]])
def test_an_axis_holds_its_values_on_round_ticks(values: list[float]) -> None:
    axis = Axis.over(values, BOTTOM, TOP)
    assert all(TOP <= axis.place(value) <= BOTTOM for value in values)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 9
    labels = [tick.label for tick in ticks]
    assert len(set(labels)) == len(labels)
    for tick in ticks:
        value = float(tick.label.replace("\u2212", "-"))
        assert axis.place(value) == pytest.approx(tick.place, abs=0.02)


def test_rounds_are_marked_by_whole_numbers() -> None:
    labels = [tick.label for tick in Axis.over([1, 2, 3], LEFT, RIGHT, whole=True).ticks()]
    assert labels == ["1", "2", "3"]
    assert [tick.label for tick in Axis.over([4], LEFT, RIGHT, whole=True).ticks()] == ["4"]


def test_a_missing_value_leaves_a_gap_in_the_line() -> None:
    series = [Series("a", [(1, 1.0), (2, NAN), (3, 3.0), (4, 2.0)], 0), Series("b", [(1, None)], 1)]
    plot = line_plot("k", "Loss", "no unit", series, bands=[Band("enhance", 1, 2), Band("later", 9, 12)])
    assert plot is not None
    path = plot.lines[0].path
    assert re.findall("[ML]", path) == ["M", "M", "L"]
    assert "nan" not in path + plot.lines[1].path
    assert [entry.label for entry in plot.legend] == ["a"]
    assert [band.name for band in plot.bands] == ["enhance"]
    assert "a: from 1.000 to 2.000." in plot.frame.description


def marks_of(path: str) -> int:
    return path.count("Z")


def test_a_point_without_neighbours_is_marked_in_every_series() -> None:
    rounds = range(1, 101)
    alone = [(number, 1.0 if number in (40, 100) else NAN) for number in rounds]
    dashed = [(number, 2.0 if number in (1, 50, 51) else None) for number in rounds]
    plot = line_plot("k", "Loss", "no unit", [Series("a", alone, 0), Series("b", dashed, 1, dashed=True)])
    assert plot is not None
    assert [marks_of(line.marks) for line in plot.lines] == [2, 1]
    # The legend shows the marks that are drawn.
    assert all(entry.mark for entry in plot.legend)
    once = line_plot("k", "PSNR", "dB", [Series("", [(4, 9.0)], 0, dashed=True), Series("", [(4, 9.5)], 0)])
    assert once is not None and all(marks_of(line.marks) == 1 for line in once.lines)


@pytest.mark.parametrize(("points", "marks"), [(30, 30), (31, 16), (300, 30)])
def test_long_series_are_marked_here_and_there(points: int, marks: int) -> None:
    series = [
        Series("a", [(number, 1.0) for number in range(points)], 0),
        Series("b", [(number, 2.0) for number in range(points)], 1),
        Series("c", [(number, 3.0) for number in range(points)], 2, dashed=True),
    ]
    plot = line_plot("k", "Loss", "no unit", series)
    assert plot is not None
    assert [marks_of(line.marks) for line in plot.lines] == [marks, marks, 0]
    assert [bool(entry.mark) for entry in plot.legend] == [True, True, False]


def test_what_is_higher_is_drawn_higher() -> None:
    plot = line_plot("k", "PSNR", "dB", [Series("a", [(1, 10.0), (5, 20.0)], 0)], chosen=5)
    assert plot is not None
    (x1, y1), (x2, y2) = [
        tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", plot.lines[0].path)
    ]
    assert x1 < x2 and y1 > y2
    assert plot.chosen == x2
    assert plot.legend[-1].label == "round of the best model"


def test_there_is_no_plot_without_a_value() -> None:
    assert line_plot("k", "t", "y", [Series("a", [(1, NAN)], 0)]) is None
    assert bar_plot("k", "t", "y", "d", [1], [Part("a", [NAN])]) is None
    assert change_histogram("k", figures.figure("psnr"), [None]) is None


def test_bars_stand_on_each_other() -> None:
    plot = bar_plot("k", "Traffic", "MB", "words", [1, 2], [Part("down", [3.0, 0.0]), Part("up", [1.0, 2.0])])
    assert plot is not None
    lower, upper, alone = plot.bars
    assert lower.y + lower.height == pytest.approx(BOTTOM)
    assert upper.y + upper.height == pytest.approx(lower.y, abs=0.02)
    assert alone.height == pytest.approx(2 * upper.height, abs=0.05)


@pytest.mark.parametrize(("name", "gain", "loss"), [("psnr", "better", "worse"), ("niqe", "worse", "better")])
def test_a_histogram_parts_gains_from_losses_and_from_what_is_unchanged(
    name: str, gain: str, loss: str
) -> None:
    changes = [-0.9, -0.1, -0.004, 0.0, 0.004, 0.2, 0.7, 1.4, 2.0, NAN, None]
    plot = change_histogram("k", figures.figure(name), changes)
    assert plot is not None
    (same,) = [bar for bar in plot.bars if bar.style == "same"]
    assert same.x < plot.zero < same.x + same.width
    others = [bar for bar in plot.bars if bar is not same]
    assert all(bar.x + bar.width <= same.x or bar.x >= same.x + same.width for bar in others)
    assert {bar.style for bar in others if bar.x > plot.zero} == {gain}
    assert {bar.style for bar in others if bar.x < plot.zero} == {loss}
    assert plot.frame.description.startswith("9 images; mean +0.37")
    assert "2 below zero, 3 unchanged" in plot.frame.description
    assert [round(bar.height / same.height * 3) for bar in plot.bars] == [1, 1, 3, 1, 1, 1, 1]
    assert [entry.label for entry in plot.legend] == [
        f"{loss} than the original",
        "unchanged",
        f"{gain} than the original",
        "mean",
    ]


def test_images_that_did_not_change_are_neither_better_nor_worse() -> None:
    plot = change_histogram("k", figures.figure("ssim"), [0.0, 0.0001, -0.0004])
    assert plot is not None
    assert [bar.style for bar in plot.bars] == ["same"]
    assert "0 below zero, 3 unchanged" in plot.frame.description


def test_the_bar_of_unchanged_images_stays_inside_the_plot() -> None:
    plot = change_histogram("k", figures.figure("psnr"), [0.0, 1.0, 2.0])
    assert plot is not None and min(bar.x for bar in plot.bars) >= LEFT
