"""Site files of another policy, or of a site that lacks HQ images, beside the images of a given site."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml


def hospital(original: Path, folder: Path, *, hq: bool = True, policy: dict[str, Any] | None = None) -> Path:
    """Write a site file with another policy, or without HQ images, beside its images."""
    settings = yaml.safe_load(original.read_text())
    images = {name: str(original.parent / value) for name, value in settings["images"].items()}
    folder.mkdir(parents=True)
    split = original.parent / settings["split"]["file"]
    with split.open(newline="") as stream:
        rows = [{**row, "file": str(split.parent / row["file"])} for row in csv.DictReader(stream)]
    if not hq:
        withheld = images.pop("hq")
        rows = [row for row in rows if not row["file"].startswith(withheld)]
    with (folder / "splits.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["file", "patient", "split"])
        writer.writeheader()
        writer.writerows(rows)
    settings |= {"images": images, "split": {"file": "splits.csv"}, "policy": policy or {}}
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
