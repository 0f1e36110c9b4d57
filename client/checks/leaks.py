"""Leaks: an image must not stand in LQ and HQ, or in two splits, whatever its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from client.checks.finding import Finding
from client.checks.images import OpenedSite, images_of
from hqgnet.data.site_data import SiteData


def check_leaks(site: OpenedSite) -> list[Finding]:
    """Look for equal images by their pixels."""
    groups = _equal_images(site)
    findings = [*_lq_and_hq(site, groups), *_twins_as_hq(site)]
    if site.data is not None:
        findings += _between_splits(site, site.data, groups)
    if findings:
        return findings
    return [
        Finding("Images", "leaks", "ok", "no image stands in LQ and HQ, or in two splits, under another name")
    ]


def _equal_images(site: OpenedSite) -> list[list[Path]]:
    """Return LQ and HQ images that are equal; empty pictures are alike without being the same image."""
    by_digest: defaultdict[bytes, list[Path]] = defaultdict(list)
    for path in images_of(site, "lq", "hq"):
        if not site.seen[path].uniform:
            by_digest[site.seen[path].digest].append(path)
    return [paths for paths in by_digest.values() if len(paths) > 1]


def _lq_and_hq(site: OpenedSite, groups: Sequence[list[Path]]) -> list[Finding]:
    lq = set(images_of(site, "lq"))
    both = [paths for paths in groups if 0 < sum(path in lq for path in paths) < len(paths)]
    if not both:
        return []
    what = f"{len(both)} images stand in the LQ folder and in the HQ folder"
    remedy = "Decide for each whether it is of low or of high quality, and take the other copy away"
    return [Finding("Images", "same in LQ and HQ", "problem", what, remedy, _lines(site, both))]


def _twins_as_hq(site: OpenedSite) -> list[Finding]:
    hq = {site.seen[path].digest: path for path in images_of(site, "hq") if not site.seen[path].uniform}
    twins = images_of(site, "twins")
    same = [[path, hq[site.seen[path].digest]] for path in twins if site.seen[path].digest in hq]
    if not same:
        return []
    what = f"{len(same)} twins are HQ images too: what is judged by would guide the training"
    remedy = "Take these images out of the HQ folder, or give no twin for their LQ images"
    return [Finding("Images", "same in HQ and twins", "problem", what, remedy, _lines(site, same))]


def _between_splits(site: OpenedSite, data: SiteData, groups: Sequence[list[Path]]) -> list[Finding]:
    split_of = {
        sample.path: split
        for splits in (data.lq, data.hq)
        for split, samples in splits.items()
        for sample in samples
    }
    leaks: list[list[Path]] = []
    copies: list[list[Path]] = []
    for paths in groups:
        (leaks if len({split_of[path] for path in paths}) > 1 else copies).append(paths)
    findings = []
    if leaks:
        files = tuple(
            " = ".join(f"{site.name(path)} ({split_of[path]})" for path in paths) for paths in leaks
        )
        what = f"{len(leaks)} images stand in more than one split, under several names"
        remedy = "Keep one of each; if they carry two patients' names, find out whose image it is"
        findings.append(Finding("Images", "same in two splits", "problem", what, remedy, files))
    if copies:
        what = f"{len(copies)} images stand several times in one split, and count as often"
        findings.append(
            Finding("Images", "copies", "warning", what, "Keep one of each", _lines(site, copies))
        )
    return findings


def _lines(site: OpenedSite, groups: Sequence[list[Path]]) -> tuple[str, ...]:
    return tuple(" = ".join(site.names(paths)) for paths in groups)
