"""A bank of HQ cues: what hospitals lend of v_z to those that have no HQ images.

An entry is the mean and the covariance of v_z over one site's HQ training images, each v_z scaled down to an
L2 bound first. The bank is the mixture of its entries, each a Gaussian that weighs as many images as are
behind it. Entries bear no name, and their order tells nothing of the sites.

numpy alone: a hospital's daemon looks at what leaves without torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.arrays import Array, Arrays

PREFIX = "cue_bank."
"""Names of the bank's arrays begin with it, beside parameters in a message, a checkpoint or a model file."""

MEAN, COVARIANCE = f"{PREFIX}mean", f"{PREFIX}covariance"
"""Names of an entry's arrays; the first is also that of the bank's mean, where it travels alone."""

_COUNTS, _MEANS, _COVARIANCES = f"{PREFIX}counts", f"{PREFIX}means", f"{PREFIX}covariances"
_FEWEST = 2
_MOST_ENTRIES = 100_000
_LARGEST_COUNT = 10_000_000
# float32 keeps seven digits of a covariance.
_TOLERANCE = 1e-5

Float32 = NDArray[np.float32]


class ImplausibleCuesError(ValueError):
    """Numbers that are no cues; the text says why, without repeating them."""


@dataclass(frozen=True)
class CueEntry:
    """What one site lends.

    Attributes:
        count: HQ images behind it.
        mean: Of v_z, ``(D,)``, float32.
        covariance: Of v_z, ``(D, D)``, float32; unbiased.
    """

    count: int
    mean: Float32
    covariance: Float32

    @classmethod
    def of(cls, vectors: NDArray[np.float32], norm_limit: float) -> CueEntry:
        """Return the entry of a site's images.

        Args:
            vectors: v_z of each, ``(N, D)``, N at least 2.
            norm_limit: Longer vectors are scaled down to this L2 norm.

        Raises:
            ImplausibleCuesError: If a number is not finite, or there are fewer than two vectors.
        """
        if len(vectors) < _FEWEST or not np.isfinite(vectors).all():
            raise ImplausibleCuesError("v_z is not finite, or there are fewer than two images")
        clipped = vectors.astype(np.float64)
        norms = np.linalg.norm(clipped, axis=1, keepdims=True)
        clipped *= np.minimum(1.0, norm_limit / np.maximum(norms, np.finfo(np.float64).tiny))
        mean = clipped.mean(axis=0)
        moved = clipped - mean
        # The product of a matrix with its own transpose may differ from its transpose in the last digit.
        covariance = moved.T @ moved / (len(vectors) - 1)
        covariance = (covariance + covariance.T) / 2
        return cls(len(vectors), mean.astype(np.float32), covariance.astype(np.float32))

    def check(self, size: int, norm_limit: float, minimum_images: int) -> None:
        """Check what a peer sent: of the right form, and possible for vectors within the bound.

        Args:
            size: Numbers D in a guide.
            norm_limit: Of the experiment.
            minimum_images: Fewest images that may be behind it.

        Raises:
            ImplausibleCuesError: If it cannot be what it says.
        """
        if not max(minimum_images, _FEWEST) <= self.count <= _LARGEST_COUNT:
            raise ImplausibleCuesError("there are too few images behind the cues, or too many")
        if self.mean.shape != (size,) or self.covariance.shape != (size, size):
            raise ImplausibleCuesError("the cues are of another shape")
        if self.mean.dtype != np.float32 or self.covariance.dtype != np.float32:
            raise ImplausibleCuesError("the cues are of another type")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ImplausibleCuesError("the cues are not finite")
        mean, covariance = self.mean.astype(np.float64), self.covariance.astype(np.float64)
        # The mean square of vectors of norm C at most is C^2 at most: spread and mean share it.
        spread = float(np.trace(covariance)) * (self.count - 1) / self.count + float(mean @ mean)
        if not 0 <= spread <= norm_limit**2 * (1 + _TOLERANCE):
            raise ImplausibleCuesError("the cues are beyond the bound on v_z")
        allowed = _TOLERANCE * float(np.abs(covariance).max())
        if float(np.abs(covariance - covariance.T).max()) > allowed:
            raise ImplausibleCuesError("the covariance is not symmetric")
        if float(np.linalg.eigvalsh((covariance + covariance.T) / 2).min()) < -allowed * size:
            raise ImplausibleCuesError("the covariance is not positive semidefinite")

    def to_arrays(self) -> Arrays:
        """Return the entry for the wire; its count travels in the header."""
        return {MEAN: self.mean, COVARIANCE: self.covariance}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], count: int) -> CueEntry:
        """Read what came, not yet checked.

        Raises:
            ImplausibleCuesError: If there is anything but a mean and a covariance.
        """
        if set(arrays) != {MEAN, COVARIANCE}:
            raise ImplausibleCuesError("there is something else than a mean and a covariance")
        return cls(count, _as_float(arrays[MEAN]), _as_float(arrays[COVARIANCE]))


@dataclass(frozen=True)
class CueBank:
    """The entries of all that lend, of one cue extractor.

    Attributes:
        entries: One at least, the same whatever the order in which they came.
    """

    entries: tuple[CueEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[CueEntry]) -> CueBank | None:
        """Return the bank; None without an entry."""
        ordered = sorted(entries, key=lambda entry: (-entry.count, entry.mean.tobytes()))
        return cls(tuple(ordered)) if ordered else None

    @property
    def images(self) -> int:
        """HQ images behind all entries."""
        return sum(entry.count for entry in self.entries)

    def mean(self) -> Float32:
        """Return the mean of v_z over the images of all entries, ``(D,)``."""
        total = sum(entry.count * entry.mean.astype(np.float64) for entry in self.entries)
        return np.asarray(total / self.images, np.float32)

    def draw(self, random: np.random.RandomState, count: int) -> Float32:
        """Return guides ``(count, D)`` of the mixture: an entry by its images, then of its Gaussian.

        Args:
            random: Decides all of it.
            count: How many.
        """
        weights = np.array([entry.count for entry in self.entries], np.float64)
        chosen = random.choice(len(self.entries), size=count, p=weights / weights.sum())
        normal = random.standard_normal((count, len(self.entries[0].mean)))
        drawn = [
            self.entries[index].mean + self._roots[index] @ numbers
            for index, numbers in zip(chosen, normal, strict=True)
        ]
        return np.stack(drawn).astype(np.float32)

    @cached_property
    def _roots(self) -> list[NDArray[np.float64]]:
        return [_root(entry.covariance.astype(np.float64)) for entry in self.entries]

    def to_arrays(self) -> Arrays:
        """Return the bank for the wire, a checkpoint or a model file."""
        return {
            _COUNTS: np.array([entry.count for entry in self.entries], np.int64),
            _MEANS: np.stack([entry.mean for entry in self.entries]),
            _COVARIANCES: np.stack([entry.covariance for entry in self.entries]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], size: int, norm_limit: float) -> CueBank:
        """Read what :meth:`to_arrays` gave, from a peer or file that is not trusted.

        Args:
            arrays: Nothing but the bank's.
            size: Numbers D in a guide.
            norm_limit: Of the experiment.

        Raises:
            ImplausibleCuesError: If it is no bank.
        """
        if set(arrays) != {_COUNTS, _MEANS, _COVARIANCES}:
            raise ImplausibleCuesError("there is something else than a bank of cues")
        counts, means, covariances = (arrays[name] for name in (_COUNTS, _MEANS, _COVARIANCES))
        if counts.ndim != 1 or counts.dtype != np.int64 or not 0 < len(counts) <= _MOST_ENTRIES:
            raise ImplausibleCuesError("the bank has no entries, or too many")
        if means.shape[:1] != counts.shape or covariances.shape[:1] != counts.shape:
            raise ImplausibleCuesError("the bank's entries are not whole")
        entries = [
            CueEntry(int(count), _as_float(mean), _as_float(covariance))
            for count, mean, covariance in zip(counts, means, covariances, strict=True)
        ]
        for entry in entries:
            entry.check(size, norm_limit, _FEWEST)
        return cls(tuple(entries))


def without_cues(arrays: Mapping[str, Array]) -> tuple[Arrays, Arrays]:
    """Return what came, parted: the bank's arrays, and all others."""
    cues = {name: array for name, array in arrays.items() if name.startswith(PREFIX)}
    return cues, {name: array for name, array in arrays.items() if name not in cues}


def read_mean(arrays: Mapping[str, Array], size: int) -> Float32:
    """Return the bank's mean ``(size,)`` where it came alone.

    Raises:
        ImplausibleCuesError: If something else came, or it is not finite.
    """
    mean = arrays.get(MEAN)
    if mean is None or len(arrays) != 1 or mean.shape != (size,) or mean.dtype != np.float32:
        raise ImplausibleCuesError("there is something else than a mean cue")
    if not np.isfinite(mean).all():
        raise ImplausibleCuesError("the mean cue is not finite")
    return _as_float(mean)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric square root: it alone is the same on every machine, whatever the eigenvectors.

    Few images give a covariance without full rank, which has no Cholesky factor.
    """
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _as_float(array: Array) -> Float32:
    if array.dtype != np.float32:
        raise ImplausibleCuesError("the cues are of another type")
    return np.asarray(array, np.float32)
