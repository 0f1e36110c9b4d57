"""Make synthetic sites: folders like a hospital's, each with its own camera, patients and degradations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from hqgnet.data.degradation import PROFILES, PROFILES_OF_MODALITY, Degradation
from hqgnet.data.grades import LEVELS
from hqgnet.data.site_writer import Quality, SiteImage, Split, refuse_to_overwrite, write_site
from hqgnet.data.synthetic import ccm, colonoscopy, fundus
from hqgnet.data.synthetic.camera import Camera, camera_of_site
from hqgnet.data.synthetic.scene import Scene
from hqgnet.errors import ConfigurationError, DataError, Problem

SMALLEST_SIZE = 32
MODALITY_KEY = MappingProxyType({"fundus": 1, "ccm": 2, "colonoscopy": 3})


@dataclass(frozen=True)
class Modality:
    """How scenes of one modality are drawn.

    Attributes:
        channels: 3 for colour, 1 for grey.
        draw_patient: Draws what a patient's images share.
        render: Draws one scene of (patient, size, zoom, rng).
        grade: Makes a patient one of a grade, where LQ images are graded; else None.
    """

    channels: int
    draw_patient: Callable[[np.random.Generator], Any]
    render: Callable[[Any, int, float, np.random.Generator], Scene]
    grade: Callable[[Any, int], Any] | None = None


MODALITIES: Mapping[str, Modality] = MappingProxyType(
    {
        "fundus": Modality(3, fundus.Patient.draw, fundus.render),
        "ccm": Modality(1, ccm.Patient.draw, ccm.render, ccm.Patient.graded),
        "colonoscopy": Modality(3, colonoscopy.Patient.draw, colonoscopy.render),
    }
)


@dataclass(frozen=True)
class SyntheticSite:
    """One site; every image is a function of (modality, seed, site, patient, image) alone.

    Attributes:
        modality: A key of ``MODALITIES``.
        seed: Of the whole federation.
        index: 0 for the first site.
        size: Height and width of the images in pixels.
    """

    modality: str
    seed: int
    index: int
    size: int

    @property
    def camera(self) -> Camera:
        """The site's own camera."""
        return camera_of_site(self.modality, self.index, self._generator(0))

    @property
    def degradation(self) -> Degradation:
        """What befalls this site's LQ images."""
        names = PROFILES_OF_MODALITY[self.modality]
        return PROFILES[names[self.index % len(names)]]

    def _generator(self, *key: int) -> np.random.Generator:
        entropy = (self.seed, MODALITY_KEY[self.modality], self.index, *key)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

    def take(self, patient: int, image: int, quality: Quality, split: Split) -> SiteImage:
        """Photograph one patient once.

        Args:
            patient: Number of the patient at this site.
            image: Number of the image of this patient.
            quality: ``lq`` images are degraded and keep mask and grade; ``hq`` images are clean.
            split: A twin is kept with LQ images outside of ``train``.
        """
        modality, camera = MODALITIES[self.modality], self.camera
        traits = modality.draw_patient(self._generator(1, patient))
        grade = None
        if modality.grade is not None:
            grade = self._grade(patient)
            traits = modality.grade(traits, grade)
        rng = self._generator(2, patient, image)
        photograph = camera.photograph(modality.render(traits, self.size, camera.zoom, rng), rng)
        name = f"p{patient:03d}"
        file = f"{name}_{quality}_{image}.png"
        if quality == "hq":
            return SiteImage(file, name, quality, split, photograph.image)
        degraded = self.degradation.apply(photograph.image, rng, photograph.field_of_view)
        twin = None if split == "train" else photograph.image
        return SiteImage(file, name, quality, split, degraded, photograph.mask, twin, grade)

    def _grade(self, patient: int) -> int:
        """Of every ``LEVELS`` patients in a row each has another grade, so that few splits lack one."""
        block, place = divmod(patient, LEVELS)
        return int(self._generator(4, block).permutation(LEVELS)[place])

    def images(self, counts: Mapping[tuple[Split, Quality], int]) -> Iterator[SiteImage]:
        """Photograph patients, once or twice each, until every (split, quality) has its count."""
        patient = 0
        for (split, quality), count in counts.items():
            taken = 0
            while taken < count:
                visits = min(int(self._generator(3, patient).integers(1, 3)), count - taken)
                for image in range(visits):
                    yield self.take(patient, image, quality, split)
                taken += visits
                patient += 1


def make_sites(
    modality: str,
    count: int,
    seed: int,
    out: Path,
    *,
    size: int = 128,
    train_lq: int = 48,
    train_hq: int = 48,
    validation_lq: int = 8,
    test_lq: int = 16,
    test_hq: int = 8,
) -> list[Path]:
    """Write synthetic sites ``out/site-1`` to ``out/site-N``; the same arguments give the same bytes.

    LQ and HQ images come from different patients (unpaired), and so do the splits. Every LQ image has its
    mask, of ``ccm`` also its grade of tortuosity; clean twins exist for validation and test images only.

    Args:
        modality: ``fundus``, ``ccm`` or ``colonoscopy``.
        count: How many sites, each with its own camera and degradations.
        seed: 0 or above.
        out: Parent folder of the sites.
        size: Height and width of the images in pixels.
        train_lq: LQ images to train on, a site.
        train_hq: HQ images to train on, a site.
        validation_lq: LQ images with twins to choose checkpoints by.
        test_lq: LQ images with twins to judge by.
        test_hq: HQ images of further patients.

    Returns:
        The path of each site's ``site.yaml``.

    Raises:
        ConfigurationError: If an argument is out of range, all of them at once.
        DataError: If a site's folder exists and is not empty; nothing is written then.
    """
    counts: dict[tuple[Split, Quality], int] = {
        ("train", "lq"): train_lq,
        ("train", "hq"): train_hq,
        ("validation", "lq"): validation_lq,
        ("test", "lq"): test_lq,
        ("test", "hq"): test_hq,
    }
    _check(modality, count, seed, size, counts)
    folders = [out / f"site-{index + 1}" for index in range(count)]
    if out.exists() and not out.is_dir():
        raise DataError(Problem(str(out), "is a file", "Name a folder to write the sites to"))
    refuse_to_overwrite(folders)
    paths = []
    for index, folder in enumerate(folders):
        site = SyntheticSite(modality, seed, index, size)
        about = f"Synthetic {modality}, seed {seed}: camera '{site.camera.name}', '{site.degradation.name}'."
        channels = MODALITIES[modality].channels
        paths.append(
            write_site(folder, site.images(counts), modality=modality, channels=channels, about=about)
        )
    return paths


def _check(
    modality: str, count: int, seed: int, size: int, counts: Mapping[tuple[Split, Quality], int]
) -> None:
    problems = []
    if modality not in MODALITIES:
        problems.append(
            Problem("modality", f"'{modality}' is unknown", f"Choose one of {', '.join(MODALITIES)}")
        )
    for name, value, least in (("sites", count, 1), ("seed", seed, 0), ("size", size, SMALLEST_SIZE)):
        if value < least:
            problems.append(Problem(name, f"{value} is too small", f"Use {least} or more"))
    for (split, quality), number in counts.items():
        if number < 0:
            problems.append(Problem(f"{split}_{quality}", f"{number} is negative", "Use 0 or more"))
    if problems:
        raise ConfigurationError(problems)
