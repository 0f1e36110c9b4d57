"""What a site's images are, in one line that tells whether they are still the same."""

from __future__ import annotations

import hashlib

from hqgnet.data.site_data import SiteData


def content_digest(site: SiteData) -> str:
    """Return the digest (SHA-256) of a site's images in their order.

    Of every image, mask, twin and grade, and of the split that it is in; of no name.

    Raises:
        OSError: If a file has gone since the site was opened.
    """
    digest = hashlib.sha256()
    for kind, splits in (("lq", site.lq), ("hq", site.hq)):
        for split, samples in splits.items():
            for sample in samples:
                digest.update(f"{kind}/{split}/{sample.grade}".encode())
                for file in (sample.path, sample.mask, sample.twin):
                    digest.update(hashlib.sha256(file.read_bytes()).digest() if file else b"none")
    return digest.hexdigest()
