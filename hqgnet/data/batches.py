"""Unpaired training batches as a pure function of data, seed, phase and step.

Nothing about the past is kept: a run that resumes at step n sees the batches that the uninterrupted one would
see, and sites with equal images see equal batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.data.dataset import CacheDataset
from numpy.typing import NDArray
from torch import Tensor

from hqgnet.cue_bank import CueBank
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_files import Sample
from hqgnet.data.transforms import IMAGE, MASK, RandomFlips, training_transforms, untracked
from hqgnet.errors import DataError, HqgnetError, Problem

CACHE_BYTES = 8 * 2**30
_TAUGHT = "cooperate"
"""The phase that learns from labels."""


@dataclass(frozen=True)
class Batch:
    """Images of one training step.

    Attributes:
        lq: ``(B, C, S, S)`` in [0, 1].
        hq: ``(B, C, S, S)`` in [0, 1]; of other patients or moments than ``lq``. ``(0, C, S, S)`` at a site
            without HQ images.
        masks: Masks of those of ``lq`` that have one, ``(L, 1, S, S)`` of 0 and 1; None if there are none,
            and in every phase but ``cooperate``, which alone learns from labels.
        labelled: Which of ``lq`` those are, ``(B,)`` bool; None if ``masks`` is None.
        grades: Levels of those of ``lq`` that have one, ``(L,)`` int64; None as for ``masks``.
        graded: Which of ``lq`` those are, ``(B,)`` bool; None if ``grades`` is None.
        cues: v_z of other sites' HQ images, ``(B, 64)``, drawn from a bank; None where HQ images are at hand
            or nothing is lent.
    """

    lq: Tensor
    hq: Tensor
    masks: Tensor | None = None
    labelled: Tensor | None = None
    grades: Tensor | None = None
    graded: Tensor | None = None
    cues: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        labels = (self.masks, self.labelled, self.grades, self.graded, self.cues)
        return Batch(
            self.lq.to(device),
            self.hq.to(device),
            *(None if label is None else label.to(device) for label in labels),
        )


class UnpairedBatches:
    """Training images of one site, or of several pooled, decoded once and kept in memory at training size.

    Args:
        site_data: One or more opened sites; their training images are pooled in this order.
        image_size: Side S of the square images, in pixels.
        batch_size: Images B a batch; a smaller set is gone through several times within one.
        seed: Decides order and flips. The site's name does not.
        need_masks: Give masks. The ``cooperate`` phase then uses, of a site that has masks, only LQ images
            with one; a pooled site that has none takes part with all its images, as it would in a federation.
        need_grades: Give grades, with the same rule; where both are needed, a mask or a grade suffices.
        need_hq: HQ images must be there. Without them batches hold none, and cues of a bank once one is lent.
        cache_bytes: Memory for images, at two bytes a value; what does not fit is read again each time.

    Raises:
        DataError: If there is no LQ or HQ training image (or no mask or grade where needed), if the sites
            differ in channels, or if a file has gone bad since its site was opened.
    """

    def __init__(
        self,
        site_data: SiteData | Sequence[SiteData],
        image_size: int,
        batch_size: int,
        seed: int,
        need_masks: bool = False,
        need_grades: bool = False,
        *,
        need_hq: bool = True,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        sites = (site_data,) if isinstance(site_data, SiteData) else tuple(site_data)
        lq = [sample for site in sites for sample in site.lq["train"]]
        hq = [sample for site in sites for sample in site.hq["train"]]
        _check(sites, lq, hq if need_hq else None, need_masks, need_grades)
        self._batch_size = batch_size
        self._seed = seed
        channels = sites[0].config.channels
        images = min(len(lq) + len(hq), cache_bytes // (2 * channels * image_size**2))
        transform = training_transforms(image_size, channels)
        # Both sets get their share of the memory.
        lq_images = images * len(lq) // (len(lq) + len(hq))
        with _plain_errors():
            self._lq = _cached([_files(sample, need_masks) for sample in lq], transform, lq_images)
            self._hq = _cached([_files(sample, False) for sample in hq], transform, images - lq_images)
        self._bank: CueBank | None = None
        self._grades = [sample.grade if need_grades else None for sample in lq]
        self._all = np.arange(len(lq))
        labelled = [
            (need_masks and sample.mask is not None) or grade is not None
            for sample, grade in zip(lq, self._grades, strict=True)
        ]
        unlabelled = [
            not ((need_masks and site.has_masks) or (need_grades and site.has_grades))
            for site in sites
            for _ in site.lq["train"]
        ]
        self._joint = np.flatnonzero(np.logical_or(labelled, unlabelled))

    def lend(self, bank: CueBank | None) -> None:
        """Guide the batches to come by cues of ``bank``, where there are no HQ images."""
        self._bank = bank

    def batch(self, phase: str, step: int) -> Batch:
        """Return the batch of a step: LQ images in a new random order each epoch, HQ images drawn at random.

        Args:
            phase: Name of the training phase; each has its own order.
            step: Counted from 0 over the whole phase.
        """
        chosen = self._joint if phase == _TAUGHT else self._all
        first = step * self._batch_size
        lq_indexes = chosen[self._in_epochs(f"{phase}/lq", len(chosen), first, first + self._batch_size)]
        lq = self._flipped(self._lq, lq_indexes, f"{phase}/lq", step)
        images, cues = _stack(lq), None
        if len(self._hq):
            hq_indexes = self._random(f"{phase}/hq", step).randint(len(self._hq), size=self._batch_size)
            hq = _stack(self._flipped(self._hq, hq_indexes, f"{phase}/hq", step))
        else:
            hq, cues = images.new_empty((0, *images.shape[1:])), self._cues(phase, step)
        if phase != _TAUGHT:
            return Batch(images, hq, cues=cues)
        masks, grades = [sample.get(MASK) for sample in lq], [self._grades[index] for index in lq_indexes]
        (masked, labelled), (levels, graded) = _masks(masks), _levels(grades)
        return Batch(images, hq, masked, labelled, levels, graded, cues)

    def pretraining_batch(self, step: int) -> Tensor:
        """Return ``(B, C, S, S)`` for the autoencoder: half HQ, half LQ; an odd batch size alternates.

        LQ images alone at a site without others.
        """
        first, last = step * self._batch_size, (step + 1) * self._batch_size
        lq_first, lq_last = (first // 2, last // 2) if len(self._hq) else (first, last)
        lq = self._in_epochs("pretrain/lq", len(self._lq), lq_first, lq_last)
        hq = self._in_epochs("pretrain/hq", len(self._hq), first - lq_first, last - lq_last)
        samples = self._flipped(self._hq, hq, "pretrain/hq", step)
        samples += self._flipped(self._lq, lq, "pretrain/lq", step)
        return _stack(samples)

    def _cues(self, phase: str, step: int) -> Tensor | None:
        if self._bank is None:
            return None
        return torch.from_numpy(self._bank.draw(self._random(f"{phase}/cues", step), self._batch_size))

    def _in_epochs(self, stream: str, count: int, first: int, last: int) -> NDArray[np.int64]:
        """Return indexes ``first`` to ``last`` of an endless sequence of permutations of ``count``."""
        positions = range(first, last)
        return np.array(
            [_permutation(self._seed, stream, at // count, count)[at % count] for at in positions],
            dtype=np.int64,
        )

    def _flipped(
        self, dataset: CacheDataset, indexes: NDArray[np.int64], stream: str, step: int
    ) -> list[dict[str, Tensor]]:
        flips = RandomFlips(seed=_hash(self._seed, f"{stream}/flips", step)[0])
        with _plain_errors():
            return [flips(dataset[int(index)]) for index in indexes]

    def _random(self, stream: str, step: int) -> np.random.RandomState:
        return np.random.RandomState(_hash(self._seed, stream, step))


def _hash(seed: int, stream: str, number: int) -> list[int]:
    """Return eight 32-bit numbers that are the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}:{stream}:{number}".encode()).digest()
    return [int(word) for word in np.frombuffer(digest, dtype="<u4")]


@lru_cache(maxsize=8)
def _permutation(seed: int, stream: str, epoch: int, count: int) -> NDArray[np.int64]:
    # RandomState, not Generator: its numbers are promised never to change between versions of numpy.
    return np.random.RandomState(_hash(seed, f"{stream}/order", epoch)).permutation(count)


def _files(sample: Sample, with_mask: bool) -> dict[str, Any]:
    return {IMAGE: sample.path} | ({MASK: sample.mask} if with_mask and sample.mask else {})


def _cached(files: list[dict[str, Any]], transform: Any, images: int) -> CacheDataset:
    with untracked():
        return CacheDataset(
            files, transform, cache_num=images, num_workers=None, progress=False, copy_cache=False
        )


def _masks(masks: Sequence[Tensor | None]) -> tuple[Tensor, Tensor] | tuple[None, None]:
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None, None
    return torch.stack(given).float(), torch.tensor([mask is not None for mask in masks])


def _levels(grades: Sequence[int | None]) -> tuple[Tensor, Tensor] | tuple[None, None]:
    given = [grade for grade in grades if grade is not None]
    if not given:
        return None, None
    return torch.tensor(given), torch.tensor([grade is not None for grade in grades])


def _stack(samples: Sequence[dict[str, Tensor]]) -> Tensor:
    return torch.stack([sample[IMAGE] for sample in samples]).float()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """MONAI wraps what a transform raises; ours shall arrive as they are."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, HqgnetError):
            raise error.__cause__ from None
        raise


def _check(
    sites: Sequence[SiteData],
    lq: Sequence[Sample],
    hq: Sequence[Sample] | None,
    need_masks: bool,
    need_grades: bool,
) -> None:
    where = " + ".join(site.config.name for site in sites) or "no site"
    problems = [
        Problem(where, f"there is no {name} training image", "Add images, or correct the split")
        for name, samples in (("LQ", lq), ("HQ", hq))
        if samples is not None and not samples
    ]
    for kind, needed, there in (
        ("mask", need_masks, any(site.has_masks for site in sites)),
        ("grade", need_grades, any(site.has_grades for site in sites)),
    ):
        if needed and lq and not there:
            what = f"no LQ training image has a {kind}"
            problems.append(Problem(where, what, f"Give images.{kind}s in the site file"))
    if len({site.config.channels for site in sites}) > 1:
        problems.append(Problem(where, "the sites differ in channels", "Pool only grey or only colour sites"))
    if problems:
        raise DataError(problems)
