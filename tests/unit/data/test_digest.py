"""The digest of a site's images changes with what is trained and judged on, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqgnet.data.digest import content_digest
from hqgnet.data.site_data import SiteData
from tests.unit.data.site_folders import make_site, picture, save


def test_names_and_places_do_not_count(tmp_path: Path) -> None:
    digests = set()
    for place in ("here", "there"):
        site = SiteData.open(make_site(tmp_path / place, masks=True, twins=True))
        digests.add(content_digest(site))
    assert len(digests) == 1


@pytest.mark.parametrize("kind", ["images/lq", "images/hq", "masks", "twins"])
def test_every_file_counts(kind: str, tmp_path: Path) -> None:
    config = make_site(tmp_path, masks=True, twins=True)
    before = content_digest(SiteData.open(config))
    file = sorted((tmp_path / kind).iterdir())[-1]
    save(file, 255 - picture(999, (20, 24)) if kind == "masks" else picture(999))
    assert content_digest(SiteData.open(config)) != before


def _moved(site: SiteData) -> SiteData:
    *kept, last = site.lq["test"]
    return replace(site, lq={**site.lq, "test": tuple(kept), "validation": (*site.lq["validation"], last)})


def _swapped(site: SiteData) -> SiteData:
    return replace(site, lq={**site.lq, "test": site.lq["test"][::-1]})


def _unmasked(site: SiteData) -> SiteData:
    first, *others = site.lq["test"]
    return replace(site, lq={**site.lq, "test": (replace(first, mask=None), *others)})


def _graded(site: SiteData) -> SiteData:
    first, *others = site.lq["test"]
    return replace(site, lq={**site.lq, "test": (replace(first, grade=2), *others)})


@pytest.mark.parametrize("changed", [_moved, _swapped, _unmasked, _graded])
def test_split_order_and_labels_count(changed: Callable[[SiteData], SiteData], tmp_path: Path) -> None:
    site = SiteData.open(make_site(tmp_path, masks=True, twins=True))
    assert content_digest(changed(site)) != content_digest(site)
