"""A site's own quality classifier: trained once on its HQ and LQ training images, then kept beside them."""

from __future__ import annotations

import hashlib
import json

from hqgnet.data.site_data import SiteData
from hqgnet.errors import DataError, ModelFileError
from hqgnet.metrics.quality import QualityClassifier, train_quality_classifier
from hqgnet.metrics.quality_file import load_quality_classifier, save_quality_classifier

IMAGE_SIZE = 96
"""Side in pixels at which images are judged: enough to see blur and light."""

_SEED = 0


def site_quality(data: SiteData) -> QualityClassifier | None:
    """Return the site's classifier; None where it has no LQ or no HQ image to train one on.

    It is kept in the site's work folder, and trained anew when files come, go or change.

    Raises:
        OutputError: If it cannot be kept.
    """
    path = data.config.work / f"quality-{_digest(data)[:16]}.safetensors"
    if path.exists():
        try:
            return load_quality_classifier(path)
        except ModelFileError:
            path.unlink(missing_ok=True)
    try:
        classifier = train_quality_classifier(data, IMAGE_SIZE, _SEED)
    except DataError:
        return None
    save_quality_classifier(path, classifier)
    return classifier


def _digest(data: SiteData) -> str:
    """Of what it is trained and measured on: splits, names, sizes and times of files."""
    facts = [
        [kind, split, sample.path.name, sample.path.stat().st_size, sample.path.stat().st_mtime_ns]
        for kind, samples in (("lq", data.lq), ("hq", data.hq))
        for split in ("train", "validation", "test")
        for sample in samples[split]
    ]
    text = json.dumps([IMAGE_SIZE, _SEED, data.config.channels, facts])
    return hashlib.sha256(text.encode()).hexdigest()
