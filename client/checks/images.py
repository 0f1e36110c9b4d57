"""The images themselves: how many, what cannot be read, how large, grey or coloured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from client.checks.finding import Finding, from_problem
from client.checks.observations import Observation, observe
from hqgnet.data.site_config import SiteConfig
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_files import Sample
from hqgnet.errors import DataError

USUAL_IMAGE_SIZE = 384


@dataclass(frozen=True)
class OpenedSite:
    """A site's images as far as they could be opened.

    Attributes:
        config: The site.
        data: None if a mistake must be mended first.
        seen: What was noted of every file that can be read, in any case.
        problems: Why ``data`` is None.
    """

    config: SiteConfig
    data: SiteData | None
    seen: Mapping[Path, Observation]
    problems: tuple[Finding, ...] = ()

    def name(self, path: Path) -> str:
        """Return a file's name as the page gives it: with its folder, from where all image folders lie."""
        for kind, folder in self.config.images:
            if folder is not None and path.is_relative_to(folder):
                return f"{kind}/{path.relative_to(folder).as_posix()}"
        return str(path)

    def names(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Return :meth:`name` of each."""
        return tuple(self.name(path) for path in paths)


def open_images(config: SiteConfig) -> OpenedSite:
    """Open a site as a run would, and note what its files show."""
    seen: dict[Path, Observation] = {}
    try:
        return OpenedSite(config, SiteData.open(config, partial(observe, seen)), seen)
    except DataError as error:
        problems = tuple(from_problem("Images", "mistake", problem) for problem in error.problems)
        return OpenedSite(config, None, seen, problems)


def check_images(site: OpenedSite) -> list[Finding]:
    """Counts, unreadable files, sizes, colours, empty pictures."""
    findings = list(site.problems)
    if site.data is not None:
        findings += _counts(site.data)
        findings += _unreadable(site, site.data)
    return [*findings, *_names(site), *_sizes(site), *_colours(site), *_uniform(site)]


def images_of(site: OpenedSite, *kinds: str) -> list[Path]:
    """Return the readable files of ``lq``, ``hq``, ``masks`` or ``twins``, in the order of their names."""
    folders = [folder for kind, folder in site.config.images if kind in kinds and folder is not None]
    return sorted(path for path in site.seen if any(path.is_relative_to(folder) for folder in folders))


def _counts(data: SiteData) -> list[Finding]:
    policy = data.config.policy
    findings = []
    for title, splits in (("LQ images", data.lq), ("HQ images", data.hq)):
        counts = {split: len(samples) for split, samples in splits.items()}
        if splits is data.hq and not data.config.images.has_hq:
            findings.append(Finding("Images", title, "ok", "none: the site file names no folder of them"))
            continue
        detail = (
            f"{counts['train']} to train, {counts['validation']} to validate, {counts['test']} to test"
            f" ({_patients(splits['train'])}, {_patients(splits['validation'])}, {_patients(splits['test'])}"
            " patients)"
        )
        if counts["train"] < policy.minimum_images:
            what = f"{detail}; policy.minimum_images is {policy.minimum_images}, so no update would leave"
            remedy = "Give more images, or lower policy.minimum_images"
            findings.append(Finding("Images", title, "problem", what, remedy))
        elif splits is data.lq and not (counts["validation"] and counts["test"]):
            what = f"{detail}: this site cannot help to choose the best model, or to judge it"
            remedy = "Give images of more patients, or larger shares in split, if it should"
            findings.append(Finding("Images", title, "warning", what, remedy))
        else:
            findings.append(Finding("Images", title, "ok", detail))
    return findings


def _patients(samples: Sequence[Sample]) -> int:
    return len({sample.patient for sample in samples})


def _unreadable(site: OpenedSite, data: SiteData) -> list[Finding]:
    if not data.skipped:
        return [Finding("Images", "unreadable", "ok", "none")]
    files = tuple(f"{site.name(Path(problem.where))}: {problem.what}" for problem in data.skipped)
    what = f"{len(files)} files cannot be read; a run leaves them out"
    remedy = "Export or copy them again, or take them away"
    return [Finding("Images", "unreadable", "warning", what, remedy, files)]


def _names(site: OpenedSite) -> list[Finding]:
    """Of a name that is not UTF-8 Python holds the bytes as surrogates; they are shown as hex numbers."""
    foreign = tuple(
        os.fsencode(name).decode(errors="backslashreplace")
        for name in site.names(sorted(site.seen))
        if any("\udc80" <= letter <= "\udcff" for letter in name)
    )
    if not foreign:
        return []
    what = (
        f"{len(foreign)} files have names that are not UTF-8: no table, of the split or grades, can name them"
    )
    remedy = "Rename them (convmv -f latin1 -t utf8, say)"
    return [Finding("Images", "file names", "warning", what, remedy, foreign)]


def _sizes(site: OpenedSite) -> list[Finding]:
    images = [site.seen[path] for path in images_of(site, "lq", "hq")]
    if not images:
        return []
    sides = [side for image in images for side in (image.height, image.width)]
    detail = f"sides of {min(sides)} to {max(sides)} pixels"
    small = sum(max(image.height, image.width) < USUAL_IMAGE_SIZE for image in images)
    if small:
        detail += (
            f"; {small} of {len(images)} are smaller than the usual image_size {USUAL_IMAGE_SIZE}, to which "
            "they would be enlarged"
        )
    return [Finding("Images", "sizes", "ok", detail)]


def _colours(site: OpenedSite) -> list[Finding]:
    images = images_of(site, "lq", "hq")
    if not images or site.config.channels == 1:  # coloured images at a grey site are a mistake by then
        return []
    grey = [path for path in images if not site.seen[path].coloured]
    if not grey:
        return [Finding("Images", "colours", "ok", "all images are coloured, as channels: 3 says")]
    what = f"{len(grey)} of {len(images)} images are grey, the site says channels: 3"
    remedy = "Write channels: 1 if all are grey and the experiment is for grey images; else look at these"
    return [Finding("Images", "colours", "warning", what, remedy, site.names(grey))]


def _uniform(site: OpenedSite) -> list[Finding]:
    empty = [path for path in images_of(site, "lq", "hq", "twins") if site.seen[path].uniform]
    if not empty:
        return []
    what = f"{len(empty)} images are of one colour throughout"
    remedy = "Look at them: an export may have failed"
    return [Finding("Images", "empty pictures", "warning", what, remedy, site.names(empty))]
