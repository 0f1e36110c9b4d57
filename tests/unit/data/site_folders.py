"""Small site folders for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hqgnet.data.site_config import SiteConfig, load_site_config

SITE_YAML = """name: site-1
modality: fundus
channels: {channels}
images: {{lq: images/lq, hq: images/hq{more}}}
split: {{validation: 0.2, test: 0.2}}
"""


def picture(seed: int, shape: tuple[int, ...] = (20, 24, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, samples: NDArray[Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples).save(path, **options)
    return path


def make_site(
    root: Path, *, lq: int = 10, hq: int = 10, masks: bool = False, twins: bool = False, channels: int = 3
) -> SiteConfig:
    """Write a site of ``p00_lq.png`` ... and return its configuration; one image a patient."""
    shape = (20, 24, 3) if channels == 3 else (20, 24)
    for number in range(lq):
        save(root / f"images/lq/p{number:02d}_lq.png", picture(number, shape))
        if masks:
            save(
                root / f"masks/p{number:02d}_lq.png",
                (picture(500 + number, (20, 24)) > 127).astype(np.uint8) * 255,
            )
        if twins:
            save(root / f"twins/p{number:02d}_lq.png", picture(700 + number, shape))
    for number in range(hq):
        save(root / f"images/hq/q{number:02d}_hq.png", picture(100 + number, shape))
    return write_yaml(root, masks=masks, twins=twins, channels=channels)


def make_graded_site(root: Path, grades: Mapping[int, int | str], *, masks: bool = False) -> SiteConfig:
    """Write a site of ten LQ images and a line of ``grades.csv`` for some of them, by number."""
    make_site(root, masks=masks)
    write_grades(root, *(f"images/lq/p{number:02d}_lq.png,{grade}" for number, grade in grades.items()))
    return write_yaml(root, masks=masks, grades=True)


def write_grades(root: Path, *lines: str) -> Path:
    (root / "grades.csv").write_text("\n".join(["file,grade", *lines]) + "\n")
    return root / "grades.csv"


def write_yaml(
    root: Path, *, masks: bool = False, twins: bool = False, grades: bool = False, channels: int = 3
) -> SiteConfig:
    more = (", masks: masks" if masks else "") + (", twins: twins" if twins else "")
    more += ", grades: grades.csv" if grades else ""
    (root / "site.yaml").write_text(SITE_YAML.format(channels=channels, more=more))
    return load_site_config(root / "site.yaml")
