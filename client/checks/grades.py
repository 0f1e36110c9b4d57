"""Grades: which images have one, and whether every level can be learned.

What is wrong in the file of grades is a mistake that :meth:`SiteData.open` names, line by line.
"""

from __future__ import annotations

from collections.abc import Iterable

from client.checks.finding import Finding
from client.checks.images import OpenedSite
from hqgnet.data.grades import LEVELS, unmatched_lines
from hqgnet.data.image_folders import find_images
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_files import Sample
from hqgnet.errors import DataError


def check_grades(site: OpenedSite) -> list[Finding]:
    """Images without a grade, lines without an image, and levels that no image has."""
    if site.config.images.grades is None:
        return [Finding("Images", "grades", "ok", "none: this site trains no network that grades images")]
    return _lines_without_image(site) if site.data is None else _graded(site, site.data)


def _graded(site: OpenedSite, data: SiteData) -> list[Finding]:
    samples = [sample for dealt in data.lq.values() for sample in dealt]
    without = [sample.path for sample in samples if sample.grade is None]
    detail = f"{len(samples) - len(without)} of {len(samples)} LQ images have a grade ({_by_level(samples)})"
    findings = [Finding("Images", "grades", "ok", detail)]
    if without:
        remedy = "Grade them, if you can; images to train on without a grade train the enhancer alone"
        findings = [Finding("Images", "grades", "warning", detail, remedy, site.names(without))]
    there = {sample.grade for sample in data.lq["train"]}
    absent = [str(level) for level in range(LEVELS) if level not in there]
    if absent:
        what = f"no LQ image to train on is of level {', '.join(absent)}"
        remedy = f"Right if this site has none; else see that levels are numbered 0 to {LEVELS - 1}"
        findings.append(Finding("Images", "absent levels", "warning", what, remedy))
    return findings


def _by_level(samples: Iterable[Sample]) -> str:
    grades = [sample.grade for sample in samples]
    return ", ".join(f"level {level}: {grades.count(level)}" for level in range(LEVELS))


def _lines_without_image(site: OpenedSite) -> list[Finding]:
    """Count them, as the page shows only the first of the mistakes."""
    images = site.config.images
    if images.grades is None:
        return []
    try:
        unmatched, lines = unmatched_lines(images.grades, find_images(images.lq, "images.lq"))
    except DataError:  # named already
        return []
    if not unmatched:
        return []
    what = f"{unmatched} of {lines} lines name no LQ image"
    remedy = "Write names relative to the folder of the CSV, such as images/lq/NAME.png"
    return [Finding("Images", "grades", "problem", what, remedy)]
