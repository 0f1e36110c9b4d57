"""Deal real fundus photographs to four sites: ``drive``, ``chase``, ``eyeq-a`` and ``eyeq-b``.

``drive`` and ``chase`` (vessel masks, no quality labels): some patients give clean images as HQ, others give
degraded copies as LQ, with clean twins outside of training. ``eyeq-a`` and ``eyeq-b``: true HQ and LQ by
human graders, no masks. The images are licensed for research only and must never be committed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hqgnet.data.dealing import deal
from hqgnet.data.degradation import PROFILES, Degradation
from hqgnet.data.field_of_view import estimate_field_of_view
from hqgnet.data.site_writer import Quality, SiteImage, Split, refuse_to_overwrite, write_site
from hqgnet.errors import DataError, HqgnetError, Problem

ROOT = Path(__file__).resolve().parents[2]
Item = Mapping[str, Any]

VESSEL_SHARES: dict[tuple[Split, Quality], float] = {
    ("train", "lq"): 0.35,
    ("train", "hq"): 0.30,
    ("validation", "lq"): 0.08,
    ("test", "lq"): 0.20,
    ("test", "hq"): 0.07,
}
EYEQ_SITES = ("eyeq-a", "eyeq-b")
EYEQ_SHARES: dict[Split, float] = {"train": 0.65, "validation": 0.10, "test": 0.25}
# Real vessels are fainter and finer than synthetic ones: milder degradations leave as much of them.
VESSEL_SITES = {
    "drive": ("DRIVE", PROFILES["cataract"].scaled(0.65)),
    "chase": ("CHASEDB1", PROFILES["small-pupil"].scaled(0.85)),
}
TRAINING_COPIES = 3
"""Differently degraded copies of each LQ training image: the sets are small."""


def read(path: Path, size: int, *, mask: bool = False) -> NDArray[Any]:
    """(size, size, 3) in [0, 1], or a (size, size) mask of 0 and 255; resized with anti-aliasing."""
    with Image.open(path) as file:
        if mask:
            resized = np.asarray(file.convert("L").resize((size, size), Image.Resampling.BOX))
            return np.where(resized >= 128, 255, 0).astype(np.uint8)
        return np.asarray(file.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)) / 255.0


def by_patient(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Group manifest rows; without a patient there, the number in the file name is the patient."""
    groups = defaultdict(list)
    for item in items:
        found = re.search(r"\d+", Path(item["file"]).stem.removeprefix("CHASEDB1"))
        groups[item.get("patient") or (found.group() if found else item["file"])].append(item)
    return dict(sorted(groups.items()))


def vessel_images(
    folder: Path, items: Sequence[Item], profile: Degradation, size: int, seed: int
) -> Iterator[SiteImage]:
    """One vessel site: clean HQ patients, degraded LQ patients."""
    patients = by_patient(items)
    rng = np.random.default_rng((seed, len(patients)))
    roles, number = deal(list(patients), VESSEL_SHARES, rng), 0
    for index, patient in enumerate(rng.permutation(list(patients)), start=1):
        split, quality = roles[patient]
        for item in patients[patient]:
            clean = read(folder / item["file"], size)
            visible = estimate_field_of_view(clean.max(axis=-1), rim=2)
            for _ in range(TRAINING_COPIES if (split, quality) == ("train", "lq") else 1):
                number += 1
                file, person = f"img_{number:04d}.png", f"p{index:03d}"
                if quality == "hq":
                    yield SiteImage(file, person, quality, split, clean)
                    continue
                mask = read(folder / item["mask"], size, mask=True)
                twin = None if split == "train" else clean
                degraded = profile.apply(clean, rng, visible)
                yield SiteImage(file, person, quality, split, degraded, mask, twin)


def eyeq_images(folder: Path, items: Sequence[Item], site: str, size: int, seed: int) -> Iterator[SiteImage]:
    """One EyeQ site: as many HQ and LQ patients as the other; all images of a patient in one split."""
    patients = by_patient(items)
    rng = np.random.default_rng((seed, 1))
    shares = {(name, split): share / 2 for name in EYEQ_SITES for split, share in EYEQ_SHARES.items()}
    roles: dict[str, tuple[str, Split]] = {}
    for kind in ({"HQ"}, {"LQ"}, {"HQ", "LQ"}):
        same = [patient for patient, rows in patients.items() if {row["domain"] for row in rows} == kind]
        roles |= deal(same, shares, rng)
    here = [patient for patient in rng.permutation(list(patients)) if roles[patient][0] == site]
    rows = [(index, patient, item) for index, patient in enumerate(here, 1) for item in patients[patient]]
    for number, (index, patient, item) in enumerate(rows, start=1):
        image = read(folder / item["file"], size)
        quality: Quality = "hq" if item["domain"] == "HQ" else "lq"
        yield SiteImage(f"img_{number:04d}.png", f"p{index:03d}", quality, roles[patient][1], image)


def make_real_sites(
    data: Path, out: Path, size: int, seed: int, without_hq: Collection[str] = ()
) -> list[Path]:
    """Write the four sites; returns their YAML files.

    HQ images of the sites ``without_hq`` are withheld; the others then lend them cues.
    """
    folder, manifest = data / "fundus", data / "fundus" / "manifest.json"
    if not manifest.is_file():
        remedy = "Name the folder of real images with --data or HQGNET_REAL_DATA"
        raise DataError(Problem(str(manifest), "is missing", remedy))
    items = json.loads(manifest.read_text(encoding="utf-8"))["items"]
    refuse_to_overwrite(out / name for name in (*VESSEL_SITES, *EYEQ_SITES))
    note = f"seed {seed}. Research use only."
    sites: dict[str, tuple[Iterator[SiteImage], str]] = {}
    for name, (dataset, profile) in VESSEL_SITES.items():
        photographs = [item for item in items if item["dataset"] == dataset]
        images = vessel_images(folder, photographs, profile, size, seed)
        sites[name] = images, f"{dataset} photographs, degraded copies ('{profile.name}') as LQ, {note}"
    graded = [item for item in items if item["file"].startswith("eyeq/")]
    for name in EYEQ_SITES:
        images = eyeq_images(folder, graded, name, size, seed)
        sites[name] = images, f"EyeQ photographs, quality by human graders, no masks, {note}"
    paths = []
    for name, (images, about) in sites.items():
        kept = (image for image in images if image.quality == "lq" or name not in without_hq)
        lends = bool(without_hq)
        path = write_site(out / name, kept, modality="fundus", channels=3, about=about, lends_cues=lends)
        paths.append(path)
    return paths


def main() -> int:
    """Read the command line, write the sites, name their YAML files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default = Path(os.environ.get("HQGNET_REAL_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of real images (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "site_configs" / "real-fundus" / "sites", help="output"
    )
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="deals patients and draws degradations (%(default)s)"
    )
    parser.add_argument(
        "--without-hq",
        action="append",
        choices=(*VESSEL_SITES, *EYEQ_SITES),
        default=[],
        metavar="SITE",
        help="withhold this site's HQ images; the others then lend it cues (several by repeating)",
    )
    arguments = parser.parse_args()
    options = (arguments.out, arguments.size, arguments.seed, arguments.without_hq)
    try:
        paths = make_real_sites(arguments.data, *options)
    except HqgnetError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.writelines(f"{path}\n" for path in paths)
    return 0


if __name__ == "__main__":
    sys.exit(main())
