"""Make four synthetic eye clinics that differ: in camera and degradation, in number, and in what they lack.

``site-1`` has everything; ``site-2`` no masks; ``site-3`` no HQ images; ``site-4`` a quarter of the images.
Whoever can lends cues to ``site-3`` (docs/cue-bank.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hqgnet.data.site_writer import SiteImage, refuse_to_overwrite, write_site
from hqgnet.data.synthetic.sites import SyntheticSite
from hqgnet.errors import HqgnetError

SIZE = 64


@dataclass(frozen=True)
class Clinic:
    """What a site has: training images of each quality, HQ images at all, masks."""

    train: int = 48
    has_hq: bool = True
    has_masks: bool = True


CLINICS = (Clinic(), Clinic(has_masks=False), Clinic(has_hq=False), Clinic(train=12))


def images(clinic: Clinic, site: SyntheticSite) -> Iterator[SiteImage]:
    """Yield what the clinic has of a site's images."""
    counts = {("train", "lq"): clinic.train, ("train", "hq"): clinic.train}
    judged = {("validation", "lq"): 8, ("test", "lq"): 16, ("test", "hq"): 8}
    for image in site.images({**counts, **judged}):  # type: ignore[dict-item]
        if image.quality == "hq" and not clinic.has_hq:
            continue
        yield image if clinic.has_masks else replace(image, mask=None)


def make(out: Path, seed: int, *, withhold: bool) -> None:
    """Write the sites.

    Args:
        out: Parent folder of the sites.
        seed: Of patients and photographs.
        withhold: Whether ``site-3`` is without HQ images; otherwise it has what the others have.
    """
    folders = [out / f"site-{number}" for number in range(1, len(CLINICS) + 1)]
    refuse_to_overwrite(folders)
    for index, (clinic, folder) in enumerate(zip(CLINICS, folders, strict=True)):
        given = clinic if withhold else replace(clinic, has_hq=True)
        about = f"Synthetic fundus, seed {seed}: {given}"
        site = SyntheticSite("fundus", seed, index, SIZE)
        shown = images(given, site)
        write_site(folder, shown, modality="fundus", channels=3, about=about, lends_cues=True)


def main() -> int:
    """Make the sites."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "sites", metavar="DIR")
    parser.add_argument("--seed", type=int, default=1, help="of patients and photographs (default 1)")
    parser.add_argument("--with-hq", action="store_true", help="site-3 has HQ images too")
    options = parser.parse_args()
    try:
        make(options.out, options.seed, withhold=not options.with_hq)
    except HqgnetError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
