"""Segmentation figures from score histograms: AUC, ACC, SEN, SPE, Dice and G-Mean, pooled and an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hqgnet.metrics.sums import MeanSums, SumsReader, is_count

if TYPE_CHECKING:  # a hospital's daemon reads these sums without loading torch
    from torch import Tensor

BINS = 4096
"""Score bins over [0, 1]; 0.5 is the lower edge of bin 2048, so the counts at that threshold are exact."""

LARGEST_TOTAL = 2**48
"""More pixels of a class than a site has (10^9 images of 530 a side); int64 holds 30,000 sites' sum."""

FIGURES = ("auc", "acc", "sen", "spe", "dice", "g_mean")
"""AUC, accuracy, sensitivity, specificity, Dice, and G-Mean = sqrt(SEN * SPE)."""

Counts = npt.NDArray[np.int64]

_ROUNDING = 1e-3
"""Resizing a probability map may leave [0, 1] by a little; anything further out is no probability."""


def _no_counts() -> Counts:
    return np.zeros(BINS, dtype=np.int64)


def _no_images() -> Mapping[str, MeanSums]:
    return MappingProxyType({name: MeanSums() for name in FIGURES})


@dataclass(frozen=True, eq=False)
class SegmentationSums:
    """Pixel counts by score and class, and per-image figures; mergeable with ``+``, exact in any order.

    Attributes:
        positive_scores: (4096,) int64, pixels on the mask by the bin of their score.
        negative_scores: (4096,) int64, pixels off the mask by the bin of their score.
        per_image: ``MeanSums`` of each of ``FIGURES`` over images. An image without positives has no SEN, one
            without negatives no SPE; an image with NaN has no figure at all and no pixel in the counts.
    """

    positive_scores: Counts = field(default_factory=_no_counts)
    negative_scores: Counts = field(default_factory=_no_counts)
    per_image: Mapping[str, MeanSums] = field(default_factory=_no_images)

    def __add__(self, other: SegmentationSums) -> SegmentationSums:
        """Sums over the images of both."""
        return SegmentationSums(
            self.positive_scores + other.positive_scores,
            self.negative_scores + other.negative_scores,
            MappingProxyType({name: self.per_image[name] + other.per_image[name] for name in FIGURES}),
        )

    def __eq__(self, other: object) -> bool:
        """Whether all counts and sums are the same."""
        return (
            isinstance(other, SegmentationSums)
            and np.array_equal(self.positive_scores, other.positive_scores)
            and np.array_equal(self.negative_scores, other.negative_scores)
            and dict(self.per_image) == dict(other.per_image)
        )

    @property
    def pixels(self) -> int:
        """Pixels counted, of both classes."""
        return int(self.positive_scores.sum()) + int(self.negative_scores.sum())

    @property
    def tp(self) -> int:
        """Pixels on the mask with a probability of 0.5 or more."""
        return int(self.positive_scores[BINS // 2 :].sum())

    @property
    def fn(self) -> int:
        """Pixels on the mask with a probability below 0.5."""
        return int(self.positive_scores[: BINS // 2].sum())

    @property
    def fp(self) -> int:
        """Pixels off the mask with a probability of 0.5 or more."""
        return int(self.negative_scores[BINS // 2 :].sum())

    @property
    def tn(self) -> int:
        """Pixels off the mask with a probability below 0.5."""
        return int(self.negative_scores[: BINS // 2].sum())

    def compute(self) -> dict[str, float | None]:
        """All figures, None where one is not defined.

        Returns:
            Pooled over pixels (``auc``, ``acc``, ``sen``, ``spe``, ``dice``, ``g_mean``) and means of the
            per-image figures (``auc_image``, ...), each in [0, 1]. The paper's Table VII can only be
            per-image means.
        """
        pooled = _figures(self.positive_scores, self.negative_scores)
        return {**pooled, **{f"{name}_image": self.per_image[name].mean for name in FIGURES}}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON object: two lists of 4096 integers and the per-image sums."""
        return {
            "positive_scores": self.positive_scores.tolist(),
            "negative_scores": self.negative_scores.tolist(),
            "per_image": {name: self.per_image[name].to_json() for name in FIGURES},
        }

    @classmethod
    def from_json(cls, payload: object, where: str = "segmentation sums") -> SegmentationSums:
        """Read what ``to_json`` wrote.

        Args:
            payload: Parsed JSON.
            where: What the reader should look at if it is malformed.

        Raises:
            DataError: A field is missing, unknown, of another type or length, not finite or negative, or a
                histogram holds more pixels than any site has.
        """
        reader = SumsReader(payload, where)
        positive, negative = (_read_counts(reader, name) for name in ("positive_scores", "negative_scores"))
        images = reader.take("per_image")
        reader.finish()
        image_reader = SumsReader(images, f"{where}.per_image")
        taken = {name: image_reader.take(name) for name in FIGURES}
        image_reader.finish()
        per_image = {name: MeanSums.from_json(taken[name], f"{where}.per_image.{name}") for name in FIGURES}
        return cls(positive, negative, MappingProxyType(per_image))


def segmentation_update(probability: Tensor, mask: Tensor) -> SegmentationSums:
    """Sums of a batch of predicted masks.

    Args:
        probability: (B, 1, H, W) or (H, W) in [0, 1], after the sigmoid; NaN makes the image undefined.
        mask: Same shape, {0, 1}; above 0.5 counts as 1.

    Raises:
        ValueError: The shapes differ or are of another kind, or a value is outside [0, 1] (a logit, most
            likely).
    """
    batched = probability.ndim == 4 and probability.shape[1] == 1
    if probability.shape != mask.shape or not (batched or probability.ndim == 2):
        shapes = f"{tuple(probability.shape)} and {tuple(mask.shape)}"
        raise ValueError(f"expected probability and mask of one shape, (B, 1, H, W) or (H, W), got {shapes}")
    size = probability.shape[-2:].numel()
    scores = probability.detach().cpu().float().reshape(-1, size).numpy()
    masks = (mask.detach().cpu().float().reshape(-1, size) > 0.5).numpy()

    positive, negative = _no_counts(), _no_counts()
    images: dict[str, list[float]] = {name: [] for name in FIGURES}
    for image, truth in zip(scores, masks, strict=True):
        figures: dict[str, float | None] = dict.fromkeys(FIGURES)
        lowest, highest = (image.min(), image.max()) if image.size else (0.0, 1.0)
        if not math.isnan(lowest):
            if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
                raise ValueError(f"probabilities must be in [0, 1], got {lowest:.4g} to {highest:.4g}")
            bins = (image * BINS).astype(np.int32).clip(0, BINS - 1)
            off_mask, on_mask = np.bincount(bins + BINS * truth, minlength=2 * BINS).reshape(2, BINS)
            figures = _figures(on_mask, off_mask)
            positive += on_mask
            negative += off_mask
        for name, value in figures.items():
            images[name].append(math.nan if value is None else value)
    per_image = {name: MeanSums.of(values) for name, values in images.items()}
    return SegmentationSums(positive, negative, MappingProxyType(per_image))


def _figures(positive_scores: Counts, negative_scores: Counts) -> dict[str, float | None]:
    positives, negatives = int(positive_scores.sum()), int(negative_scores.sum())
    tp, fp = int(positive_scores[BINS // 2 :].sum()), int(negative_scores[BINS // 2 :].sum())
    tn, predicted = negatives - fp, tp + fp
    sen = tp / positives if positives else None
    spe = tn / negatives if negatives else None
    dice: float | None = None
    if positives + negatives:
        # Nothing to find and nothing found is a perfect answer.
        dice = 2 * tp / (positives + predicted) if positives + predicted else 1.0
    return {
        "auc": _auc(positive_scores, negative_scores, positives, negatives),
        "acc": (tp + tn) / (positives + negatives) if positives + negatives else None,
        "sen": sen,
        "spe": spe,
        "dice": dice,
        "g_mean": math.sqrt(sen * spe) if sen is not None and spe is not None else None,
    }


def _auc(positive_scores: Counts, negative_scores: Counts, positives: int, negatives: int) -> float | None:
    """Trapezoid under the ROC curve: chance that a positive scores above a negative, ties (one bin) half."""
    if not positives or not negatives:
        return None
    below = np.cumsum(negative_scores) - 0.5 * negative_scores
    return float(np.dot(positive_scores / positives, below / negatives))


def _read_counts(reader: SumsReader, name: str) -> Counts:
    values = reader.take(name)
    if isinstance(values, list) and len(values) == BINS and all(is_count(value) for value in values):
        if sum(values) < LARGEST_TOTAL:
            return np.array(values, dtype=np.int64)
        reader.refuse(name, "counts 2^48 pixels or more in all")
    elif values is not None:
        reader.refuse(name, f"expected {BINS} integers from 0 to 2^53")
    return _no_counts()
