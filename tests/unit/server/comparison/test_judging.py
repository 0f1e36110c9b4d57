"""What is kept of a model that is judged image by image."""

from __future__ import annotations

from pathlib import Path

from hqgnet.config import Experiment
from server.comparison.cells import Cell
from server.comparison.judging import judge_model
from tests.report_samples import write_model


def test_of_each_image_its_own_figures_are_kept(
    tmp_path: Path, tiny_experiment: Experiment, tiny_site_files: list[Path]
) -> None:
    cell = Cell("pooled", 4)
    cell.folder(tmp_path).mkdir(parents=True)
    write_model(cell.file(tmp_path), tiny_experiment)
    values = judge_model(cell, tmp_path, tiny_site_files[:1], 1)
    assert {value.model for value in values} == {"original", "pooled"} and {v.seed for v in values} == {4}
    counted = {metric: sum(v.metric == metric for v in values) for metric in ("psnr", "dice_image")}
    assert counted == {"psnr": 6, "dice_image": 6}  # three images, as they came and enhanced
    assert not {"dice", "auc", "acc"} & {value.metric for value in values}
