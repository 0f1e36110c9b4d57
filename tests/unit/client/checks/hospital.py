"""A small hospital on disk, whole or broken as a test wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from client.checks.examination import Examination, examine
from client.checks.finding import Finding


def picture(seed: int, shape: tuple[int, ...] = (20, 24, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, samples: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples).save(path)
    return path


def make_hospital(root: Path, *, images: int = 10, more: str = "", folders: str = "") -> Path:
    """Write ``lq/p00_1.png`` ... and ``hq/q00_1.png`` ..., one image a patient; return the site file."""
    for number in range(images):
        save(root / f"lq/p{number:02d}_1.png", picture(number))
        save(root / f"hq/q{number:02d}_1.png", picture(100 + number))
    return write_site_file(root, more=more, folders=folders)


def write_site_file(root: Path, *, more: str = "", folders: str = "", channels: int = 3) -> Path:
    file = root / "site.yaml"
    file.write_text(
        f"name: site-1\nmodality: fundus\nchannels: {channels}\nimages: {{lq: lq, hq: hq{folders}}}\n{more}"
    )
    return file


def make_masks(root: Path, images: int = 10) -> None:
    for number in range(images):
        save(
            root / f"masks/p{number:02d}_1.png",
            (picture(500 + number, (20, 24)) > 127).astype(np.uint8) * 255,
        )


def offline(file: Path) -> Examination:
    return examine(file, offline=True)


def found(examination: Examination, title: str, group: str | None = None) -> Finding:
    """Return the one finding of this title."""
    findings = [
        finding
        for finding in examination.findings
        if finding.title == title and group in (None, finding.group)
    ]
    assert len(findings) == 1, [(finding.group, finding.title) for finding in examination.findings]
    return findings[0]


def mistakes(examination: Examination) -> list[Finding]:
    return [finding for finding in examination.findings if finding.title == "mistake"]
