"""A site's own quality classifier: trained once on its HQ and LQ training images, then kept beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError, ModelFileError, Problem
from hqgnet.metrics.quality import QualityClassifier, train_quality_classifier
from hqgnet.metrics.quality_file import load_quality_classifier, save_quality_classifier

IMAGE_SIZE = 96
"""Side in pixels at which images are judged: enough to see blur and light."""

_SEED = 0


def site_quality(data: SiteData) -> QualityClassifier | None:
    """Return the site's classifier; None where it has no LQ or no HQ image to train one on.

    It is kept in the site's work folder, and trained anew when files come, go or change. A file that has gone
    bad since the site was opened ends the judgement, as an LQ image to judge would: the next one opens the
    site anew, and leaves the file out.

    Raises:
        DataError: If an image that it is trained or measured on is gone or cannot be read.
        OutputError: If it cannot be kept.
    """
    if not (data.lq["train"] and data.hq["train"]):
        return None
    path = data.config.work / f"quality-{_digest(data)[:16]}.safetensors"
    if path.exists():
        try:
            return load_quality_classifier(path)
        except ModelFileError:
            path.unlink(missing_ok=True)
    classifier = train_quality_classifier(data, IMAGE_SIZE, _SEED)
    save_quality_classifier(path, classifier)
    return classifier


def _digest(data: SiteData) -> str:
    """Of what it is trained and measured on: splits, names, sizes and times of files.

    Raises:
        DataError: If a file is gone.
    """
    facts = [
        [kind, split, sample.path.name, *_size_and_time(sample.path)]
        for kind, samples in (("lq", data.lq), ("hq", data.hq))
        for split in ("train", "validation", "test")
        for sample in samples[split]
    ]
    text = json.dumps([IMAGE_SIZE, _SEED, data.config.channels, facts])
    return hashlib.sha256(text.encode()).hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise DataError(
            Problem(str(path), what, "Put it back, or leave it out of the site's folder")
        ) from error
    return found.st_size, found.st_mtime_ns
