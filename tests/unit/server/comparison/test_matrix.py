"""The model x site matrix: means, worst site, intervals, and what it says of federating."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hqgnet.errors import DataError
from server.comparison.judging import Value, read_values, write_values
from server.comparison.matrix import build_matrix, differences, verdict
from server.comparison.table import differences_text, matrix_text
from server.results import Column


def values(model: str, site: str, figures: list[float | None], seed: int = 1) -> list[Value]:
    return [Value(seed, model, site, number, "psnr", figure) for number, figure in enumerate(figures)]


def of(metric: str, others: list[Value]) -> list[Value]:
    return [replace(value, metric=metric) for value in others]


PSNR = Column("psnr", "PSNR dB", 1)
ALL = [
    *values("original", "a", [10, 12, 14]),
    *values("original", "b", [20, 20]),
    *values("alone a", "a", [13, 15, 17]),
    *values("alone a", "b", [18, 18]),
    *values("alone b", "b", [24, 26]),
    *values("pooled", "a", [16, 18, 20]),
    *values("pooled", "b", [26, 26]),
    *values("federated", "a", [15, 17, 19]),
    *values("federated", "b", [26, 23]),
]


def test_means_and_worst_site() -> None:
    matrix = build_matrix(ALL, "psnr")
    assert matrix.cells[("federated", "a")].mean == pytest.approx(17)
    assert matrix.cells[("federated", "a")].images == 3
    assert matrix.mean["federated"].mean == pytest.approx((17 + 24.5) / 2)
    assert matrix.worst["alone a"] == ("a", pytest.approx(15))
    assert ("alone b", "a") not in matrix.cells


def test_seeds_are_averaged_image_by_image_and_told_apart() -> None:
    twice = [*values("pooled", "a", [10, 20], seed=1), *values("pooled", "a", [20, 40], seed=2)]
    matrix = build_matrix(twice, "psnr")
    assert matrix.cells[("pooled", "a")].mean == pytest.approx(22.5)
    assert matrix.cells[("pooled", "a")].images == 2
    assert matrix.seeds["pooled"] == {1: pytest.approx(15), 2: pytest.approx(30)}


def test_the_interval_is_that_of_the_mean() -> None:
    figures = list(np.random.default_rng(0).normal(30, 4, 200))
    estimate = build_matrix(values("pooled", "a", figures), "psnr").cells[("pooled", "a")]
    # The bootstrap of a mean of many images is close to its normal interval.
    half = 1.96 * np.std(figures) / np.sqrt(200)
    assert estimate.low == pytest.approx(estimate.mean - half, abs=0.1)
    assert estimate.high == pytest.approx(estimate.mean + half, abs=0.1)
    assert build_matrix(values("pooled", "a", figures), "psnr").cells[("pooled", "a")] == estimate


def test_an_image_without_the_figure_is_no_zero() -> None:
    estimate = build_matrix(values("pooled", "a", [10, None, 14]), "psnr").cells[("pooled", "a")]
    assert (estimate.mean, estimate.images) == (pytest.approx(12), 2)


def test_the_verdict() -> None:
    said = verdict(ALL, build_matrix(ALL, "psnr"))
    assert said.sites == ("a", "b")
    assert said.better == ("a",) and said.clearly == ("a",)
    # Originals 16, federated 20.75, pooled 22, alone 20.
    assert said.kept == pytest.approx((20.75 - 16) / (22 - 16))
    assert said.kept_over_alone == pytest.approx((20.75 - 20) / (22 - 20))


@pytest.mark.parametrize("metric", ["dice_image", "auc_image", "grade_acc"])
def test_no_share_of_a_gain_over_originals_where_each_model_brings_its_own_network(metric: str) -> None:
    # The originals' figure is one model's network's: the other models' gains do not begin there.
    said = verdict(of(metric, ALL), build_matrix(of(metric, ALL), metric))
    assert said.kept is None
    assert said.kept_over_alone == pytest.approx((20.75 - 20) / (22 - 20))
    assert said.better == ("a",)


def test_a_site_is_clearly_better_off_only_if_every_seed_says_so() -> None:
    twice = [
        *values("federated", "a", [12, 22, 32], seed=1),
        *values("federated", "a", [9, 19, 29], seed=2),
        *values("alone a", "a", [9, 19, 29], seed=1),
        *values("alone a", "a", [10, 20, 30], seed=2),
    ]
    said = verdict(twice, build_matrix(twice, "psnr"))
    assert said.better == ("a",) and said.clearly == ()
    # The other way round the one with the lower figure is better, again with one seed alone.
    worse = [Value(v.seed, v.model, v.site, v.image, "piqe", v.value) for v in twice]
    assert verdict(worse, build_matrix(worse, "piqe")).better == ()
    swapped = {"federated": "alone a", "alone a": "federated"}
    better = [Value(v.seed, swapped[v.model], v.site, v.image, "piqe", v.value) for v in twice if v.seed == 1]
    said = verdict(better, build_matrix(better, "piqe"))
    assert said.better == said.clearly == ("a",)


def test_no_share_where_pooling_gains_nothing() -> None:
    worse = [*ALL, *values("pooled", "a", [1, 1, 1], seed=2), *values("pooled", "b", [1, 1], seed=2)]
    assert verdict(worse, build_matrix(worse, "psnr")).kept is None


@pytest.mark.parametrize(("gain", "share"), [(0.004, None), (0.006, 100.0), (-0.006, None)])
def test_no_share_of_a_gain_that_is_written_as_nothing(gain: float, share: float | None) -> None:
    images = [
        *values("original", "a", [10, 12]),
        *values("alone a", "a", [10, 12]),
        *values("pooled", "a", [10 + gain, 12 + gain]),
        *values("federated", "a", [10.6, 12.6]),
    ]
    said = verdict(images, build_matrix(images, "psnr"))
    wanted = None if share is None else pytest.approx(share)
    assert said.kept == wanted and said.kept_over_alone == wanted
    # More decimals are written of SSIM.
    finer = verdict(of("ssim", images), build_matrix(of("ssim", images), "ssim"))
    assert (finer.kept is None) == (gain < 0)


def test_what_rounds_to_nothing_has_no_minus() -> None:
    images = [
        *values("plain", "a", [0, 0, 0], seed=1),
        *values("plain", "a", [0, 0, 0], seed=2),
        *values("other", "a", [-0.001, -0.002, 0.001], seed=1),
        *values("other", "a", [-0.001, -0.002, 0.001], seed=2),
    ]
    text = differences_text(differences(images, "psnr", "plain"), "plain", 2, [1, 2])
    assert text == "other less plain: 0.00 [0.00, 0.00], of each seed +0.00, +0.00"
    table = matrix_text(build_matrix(images, "psnr"), ["a"], PSNR)
    assert "-" not in table.splitlines()[-1] and "0.0, 0.0" in table.splitlines()[-1]


def test_values_survive_the_file(tmp_path: Path) -> None:
    file = tmp_path / "values.csv"
    write_values(file, [*ALL, *values("odd, name", "a", [None, 0.1 + 0.2])])
    assert read_values(file) == [*ALL, *values("odd, name", "a", [None, 0.1 + 0.2])]
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"values\.csv"):
        read_values(file)


def test_differences_are_of_the_same_images_and_sites_alone() -> None:
    images = [
        *values("original", "a", [1, 1, 1]),
        *values("plain", "a", [10, 20, 30]),
        *values("plain", "b", [5, None]),
        *values("other", "a", [12, 22, 32]),
        *values("other", "b", [6, 100]),
        *values("other", "c", [999]),
    ]
    changes = differences(images, "psnr", "plain")
    assert set(changes) == {"other"}
    # Site b has one pair of images, site c none: (2 + 1) / 2, and no interval.
    found = changes["other"]
    assert (found.mean, found.low, found.high, found.images) == (pytest.approx(1.5), None, None, 4)
    assert differences_text(changes, "plain", 2, [1]) == "other less plain: 1.50 [n/a]"


def test_a_site_of_one_image_has_no_interval_and_nothing_is_clear_there() -> None:
    images = [
        *values("federated", "a", [20]),
        *values("federated", "b", [20, 22]),
        *values("alone a", "a", [10]),
        *values("alone b", "b", [11, 12]),
    ]
    matrix = build_matrix(images, "psnr")
    one, two = matrix.cells[("federated", "a")], matrix.cells[("federated", "b")]
    assert (one.mean, one.low, one.high, one.images) == (20.0, None, None, 1)
    assert two.low == 20.0 and two.high == 22.0
    # A mean over sites has no interval either where one of them tells no spread.
    assert (matrix.mean["federated"].low, matrix.mean["federated"].high) == (None, None)
    assert matrix.mean["alone b"].low == 11.0
    said = verdict(images, matrix)
    assert said.better == ("a", "b") and said.clearly == ("b",)
    table = matrix_text(matrix, ["a", "b"], PSNR, ["last line"])
    assert "20.0 [n/a]  21.0 [20.0, 22.0]  20.5 [n/a]" in table
    assert table.splitlines()[-2:] == [
        "[n/a]: no interval, since a site has one image alone with this figure",
        "last line",
    ]


def test_a_difference_that_seeds_disagree_on_is_not_clear() -> None:
    images = [
        *values("plain", "a", [10, 20], seed=1),
        *values("plain", "a", [10, 20], seed=2),
        *values("better", "a", [12, 22], seed=1),
        *values("better", "a", [11, 21], seed=2),
        *values("luckier", "a", [14, 24], seed=1),
        *values("luckier", "a", [9, 19], seed=2),
    ]
    changes = differences(images, "psnr", "plain")
    assert changes["luckier"].low > 0
    assert differences_text(changes, "plain", 1, [1, 2]).splitlines() == [
        "better less plain: 1.5 [1.5, 1.5], of each seed +2.0, +1.0, clear of 0",
        "luckier less plain: 1.5 [1.5, 1.5], of each seed +4.0, -1.0",
    ]


def test_a_difference_is_of_the_same_seeds() -> None:
    images = [
        *values("plain", "a", [10, 20], seed=1),
        *values("plain", "a", [0, 10], seed=2),
        *values("better", "a", [11, 21], seed=1),
    ]
    changes = differences(images, "psnr", "plain")
    assert (changes["better"].mean, changes["better"].seeds) == (1.0, {1: 1.0})
    # The reader sees which seed has no part in it.
    assert ", of each seed +1.0, n/a, clear of 0" in differences_text(changes, "plain", 1, [1, 2])


def test_the_means_of_several_seeds_stand_beside_each_other() -> None:
    one = values("plain", "a", [10, 20])
    assert "seeds" not in matrix_text(build_matrix(one, "psnr"), ["a"], PSNR)
    more = [*one, *values("plain", "a", [11, 21], seed=2), *values("late", "a", [7, 9], seed=2)]
    lines = matrix_text(build_matrix(more, "psnr"), ["a"], PSNR).splitlines()
    assert "seeds 1, 2" in lines[2]
    assert "15.0, 16.0" in lines[4] and "n/a, 8.0" in lines[5]


def test_a_table_says_what_its_figure_is_called_and_what_is_to_be_known_of_it() -> None:
    table = matrix_text(build_matrix(ALL, "psnr"), ["a", "b"], PSNR, ["original: as they came"])
    assert table.splitlines()[0] == "PSNR dB (psnr)"
    assert table.splitlines()[-1] == "original: as they came"
