"""Masks and twins: which images have one, and whether it can be right.

That a mask or twin has no image, or another size, is a mistake that :meth:`SiteData.open` names.
"""

from __future__ import annotations

from client.checks.finding import Finding
from client.checks.images import OpenedSite, images_of
from hqgnet.data.site_data import SiteData


def check_masks(site: OpenedSite) -> list[Finding]:
    """Images without a mask, and masks that mark nothing or everything."""
    if site.config.images.masks is None:
        return [Finding("Images", "masks", "ok", "none: this site trains no downstream network")]
    findings = [] if site.data is None else [_missing_masks(site, site.data)]
    masks = images_of(site, "masks")
    for name, value, remedy in (
        ("empty", 0.0, "Right if there is nothing to mark in these images; else export the masks again"),
        ("full", 1.0, "Look at them: values may be inverted, or an export may have failed"),
    ):
        alike = [path for path in masks if site.seen[path].uniform and site.seen[path].lowest == value]
        if alike:
            what = f"{len(alike)} of {len(masks)} masks are all {name}"
            findings.append(Finding("Images", f"{name} masks", "warning", what, remedy, site.names(alike)))
    return findings


def check_twins(site: OpenedSite) -> list[Finding]:
    """Images to judge by that have no twin, and twins that are no cleaner than their image."""
    if site.config.images.twins is None:
        return [Finding("Images", "twins", "ok", "none: judging goes without a clean version")]
    if site.data is None:
        return []
    judged = [sample for split in ("validation", "test") for sample in site.data.lq[split]]
    without = [sample.path for sample in judged if sample.twin is None]
    detail = f"{len(judged) - len(without)} of {len(judged)} LQ images to validate and test have one"
    findings = [Finding("Images", "twins", "ok", detail)]
    if without:
        remedy = "Add them, named like their images, if PSNR and SSIM should count these images too"
        findings = [Finding("Images", "twins", "warning", detail, remedy, site.names(without))]
    same = [
        sample.path
        for samples in site.data.lq.values()
        for sample in samples
        if sample.twin is not None and site.seen[sample.twin].digest == site.seen[sample.path].digest
    ]
    if same:
        what = f"{len(same)} twins are the LQ image itself, pixel by pixel: nothing can be judged by them"
        remedy = "Give the clean versions, or take these twins away"
        findings.append(Finding("Images", "equal twins", "warning", what, remedy, site.names(same)))
    return findings


def _missing_masks(site: OpenedSite, data: SiteData) -> Finding:
    samples = [sample for dealt in data.lq.values() for sample in dealt]
    without = [sample.path for sample in samples if sample.mask is None]
    detail = f"{len(samples) - len(without)} of {len(samples)} LQ images have a mask"
    if not without:
        return Finding("Images", "masks", "ok", detail)
    if not data.has_masks:
        detail += ", none of them to train the downstream network on"
    remedy = "Add masks named like their images, if they exist; images without one train the enhancer alone"
    fewest = data.config.policy.minimum_images
    masked = sum(sample.mask is not None for sample in data.lq["train"])
    if 0 < masked < fewest:
        # At a site with masks phase cooperate draws images with a mask alone.
        detail += (
            f"; {masked} of those to train, and policy.minimum_images is {fewest}, so nothing of phase "
            "cooperate would leave where the experiment trains a segmentor"
        )
        remedy += ". Or lower policy.minimum_images"
    return Finding("Images", "masks", "warning", detail, remedy, site.names(without))
