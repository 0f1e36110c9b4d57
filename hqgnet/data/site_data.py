"""A site's images, dealt to training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from hqgnet.data.reading import read_image, read_mask
from hqgnet.data.site_config import SiteConfig
from hqgnet.data.site_files import Observer, Sample, open_files
from hqgnet.data.transforms import resize_longer_side, resize_mask
from hqgnet.errors import Problem


@dataclass(frozen=True)
class EvaluationItem:
    """One LQ image to judge a model on, at evaluation size.

    Attributes:
        index: Number in its split, from 0; stands for the file's name wherever results leave the site.
        sample: Its files.
        lq: ``(C, H, W)`` in [0, 1].
        mask: ``(1, H, W)`` of 0 and 1, or None.
        twin: Clean version, ``(C, H, W)`` in [0, 1], or None.
        grade: Level of the whole image, from 0, or None.
    """

    index: int
    sample: Sample
    lq: Tensor
    mask: Tensor | None
    twin: Tensor | None
    grade: int | None = None


@dataclass(frozen=True)
class SiteData:
    """A site's images. Create it with :meth:`open`.

    Attributes:
        config: The site file.
        lq: LQ images by split (``train``, ``validation``, ``test``), in the order of their names.
        hq: HQ images, likewise.
        skipped: Files that cannot be read, and why; they are in no split.
        size_range: Shortest and longest side of all LQ and HQ images, in pixels.
    """

    config: SiteConfig
    lq: Mapping[str, tuple[Sample, ...]]
    hq: Mapping[str, tuple[Sample, ...]]
    skipped: tuple[Problem, ...]
    size_range: tuple[int, int]

    @property
    def has_masks(self) -> bool:
        """Whether an LQ training image has a mask."""
        return any(sample.mask for sample in self.lq["train"])

    @property
    def has_grades(self) -> bool:
        """Whether an LQ training image has a grade."""
        return any(sample.grade is not None for sample in self.lq["train"])

    @property
    def has_hq(self) -> bool:
        """Whether there is an HQ image to train on."""
        return bool(self.hq["train"])

    @property
    def has_twins(self) -> bool:
        """Whether an LQ image has a clean twin to judge by."""
        return any(sample.twin for samples in self.lq.values() for sample in samples)

    @classmethod
    def open(cls, config: SiteConfig, observe: Observer | None = None) -> SiteData:
        """Find a site's images, decode each once to see that it is whole, and deal them to splits.

        Masks and twins belong to the LQ image of the same name (suffix apart) in the same sub-folder. LQ
        images without a mask or twin are kept. Files that cannot be read are skipped and named in
        ``skipped``; the draw of splits counts them, so that a file that goes bad moves no patient to another
        split.

        Grades are read from their file, which must name every LQ image to train on. A site whose file names
        no folder of HQ images has none.

        Args:
            config: The site file.
            observe: Called with every file that can be read and its pixels (of a mask: 0 and 1), while they
                are in memory: from several threads, and before any mistake is raised.

        Raises:
            DataError: With all problems of the site: missing folders, no usable LQ or HQ training image,
                masks or twins without their image or of another size, masks of several labels, coloured
                images at a site of one channel, mistakes in the split or in the grades, DICOM files of one
                PatientID in two splits.
        """
        opened = open_files(config, observe)
        return cls(config, opened.lq, opened.hq, opened.skipped, opened.size_range)

    def evaluation_items(self, split: str, image_size: int) -> Iterator[EvaluationItem]:
        """Read a split's LQ images one by one, resized so that the longer side is ``image_size`` pixels.

        Raises:
            DataError: If a file has gone bad since the site was opened.
        """
        channels = self.config.channels
        for index, sample in enumerate(self.lq[split]):
            mask = None if sample.mask is None else resize_mask(read_mask(sample.mask), image_size)
            twin = (
                None
                if sample.twin is None
                else resize_longer_side(read_image(sample.twin, channels), image_size)
            )
            lq = resize_longer_side(read_image(sample.path, channels), image_size)
            yield EvaluationItem(index, sample, lq, mask, twin, sample.grade)
