"""Every model on every site's test images: one row an image and figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch

from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.errors import DataError, Problem
from hqgnet.evaluation import judge, score
from hqgnet.files import write_atomically
from hqgnet.guidance import site_guidance
from hqgnet.model_file import load_model
from hqgnet.site_quality import site_quality
from server.comparison.cells import Cell
from server.comparison.figures import figures_of_image

ORIGINAL = "original"


@dataclass(frozen=True)
class Value:
    """One figure of one image.

    Attributes:
        seed: Of the model's training.
        model: See :attr:`server.comparison.cells.Cell.model`; ``original`` for the image as it came.
        site: Whose image it is.
        image: Its number in the site's test split; no name.
        metric: Name of the figure, without version.
        value: None where the image has no such figure.
    """

    seed: int
    model: str
    site: str
    image: int
    metric: str
    value: float | None


def judge_model(
    cell: Cell, out: Path, sites: Sequence[Path], threads: int, *, personal: bool = False
) -> list[Value]:
    """Judge a model on the test images of all sites, each guided by its own site's fixed HQ image.

    The figures of the untouched images are taken along, as model ``original``; only figures that one image
    has are taken (:mod:`server.comparison.figures`).

    Args:
        cell: Whose model.
        out: Of the comparison.
        sites: Site files.
        threads: For torch.
        personal: Whether each site has a model of its own, of which a part never left it.
    """
    torch.set_num_threads(threads)
    values = []
    for site_file in sites:
        config = load_site_config(site_file)
        device = choose_device(config.device)
        file = cell.file_at(out, config.work, personal=personal)
        if personal and not file.exists():
            # A site that had no part in the run has no model of its own, and no figures.
            continue
        loaded, data = load_model(file, device), SiteData.open(config)
        size = loaded.experiment.image_size
        guide = site_guidance(loaded.networks, data, loaded.experiment, device, loaded.guidance)
        metrics = loaded.experiment.metrics
        quality = site_quality(data) if "s_hq" in metrics else None
        judged_images = judge(loaded.networks, data, guide, size, "test", with_task=loaded.task_trained)
        for number, judged in enumerate(judged_images):
            row = score(judged, config.modality, metrics, quality).row()
            for metric, version, figure in figures_of_image(row):
                of = ORIGINAL if version == ORIGINAL else cell.model
                values.append(Value(cell.seed, of, config.name, number, metric, figure))
    return values


def write_values(path: Path, values: Iterable[Value]) -> None:
    """Write a tidy CSV: a column a field of :class:`Value`; no value is an empty cell.

    Raises:
        OutputError: If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Value)])
    writer.writerows(["" if cell is None else cell for cell in astuple(value)] for value in values)
    write_atomically(path, text.getvalue().encode())


def read_values(path: Path) -> list[Value]:
    """Read what :func:`write_values` wrote.

    Raises:
        DataError: If it is not such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [
                Value(
                    int(row["seed"]),
                    row["model"],
                    row["site"],
                    int(row["image"]),
                    row["metric"],
                    float(row["value"]) if row["value"] else None,
                )
                for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        what = f"is no table of per-image figures ({type(error).__name__})"
        raise DataError(Problem(str(path), what, "Delete it: it is made again from the models")) from error
