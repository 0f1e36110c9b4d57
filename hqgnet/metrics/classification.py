"""Classification figures from a confusion matrix: ACC, F1, PRE and SEN, a level and overall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hqgnet.metrics.sums import SumsReader, is_count

if TYPE_CHECKING:  # sums can be read and added without loading torch
    from torch import Tensor

FIGURES = ("acc", "f1", "pre", "sen")
"""Accuracy, F1 score, precision, and sensitivity (recall)."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassificationSums:
    """Images by true and predicted level; mergeable with ``+``, exact in any order.

    Attributes:
        confusion: (K, K) int64; entry (i, j) counts the images of level i taken for level j.
        undefined: Number of images without a prediction, because a score was NaN; they are in no figure.
    """

    confusion: Counts
    undefined: int = 0

    @classmethod
    def none(cls, levels: int) -> ClassificationSums:
        """Sums over no image.

        Args:
            levels: Number K of levels, 2 or more.
        """
        return cls(np.zeros((levels, levels), dtype=np.int64))

    @property
    def levels(self) -> int:
        """Number K of levels."""
        return len(self.confusion)

    def __add__(self, other: ClassificationSums) -> ClassificationSums:
        """Sums over the images of both.

        Raises:
            ValueError: They have another number of levels.
        """
        if self.levels != other.levels:
            raise ValueError(f"sums over {self.levels} and over {other.levels} levels cannot be added")
        return ClassificationSums(self.confusion + other.confusion, self.undefined + other.undefined)

    def __eq__(self, other: object) -> bool:
        """Whether all counts are the same."""
        return (
            isinstance(other, ClassificationSums)
            and np.array_equal(self.confusion, other.confusion)
            and self.undefined == other.undefined
        )

    def compute(self) -> dict[str, float | None]:
        """All figures in [0, 1], None where one is not defined.

        Returns:
            ``acc``, the share of images taken for what they are; for each level i (0 to K - 1) ``acc_i``,
            ``f1_i``, ``pre_i`` and ``sen_i`` of this level against all others (as in the paper's Table VIII
            and Fig. 10), None where the level is neither among the images nor predicted, and 0 where only a
            denominator is missing; ``f1``, ``pre`` and ``sen``, means over the levels that have a figure
            (macro averages).
        """
        total = int(self.confusion.sum())
        figures: dict[str, float | None] = {"acc": np.trace(self.confusion) / total if total else None}
        by_level = [self._of_level(level, total) for level in range(self.levels)]
        for name in FIGURES[1:]:
            defined = [level[name] for level in by_level if level]
            figures[name] = sum(defined) / len(defined) if defined else None
        for number, level in enumerate(by_level):
            figures |= {f"{name}_{number}": level.get(name) for name in FIGURES}
        return {name: None if value is None else float(value) for name, value in figures.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON object: K lists of K integers, and the count of images without a prediction."""
        return {"confusion": self.confusion.tolist(), "undefined": self.undefined}

    @classmethod
    def from_json(
        cls, payload: object, levels: int, where: str = "classification sums"
    ) -> ClassificationSums:
        """Read what ``to_json`` wrote.

        Args:
            payload: Parsed JSON.
            levels: The number K of levels that is expected.
            where: What the reader should look at if it is malformed.

        Raises:
            DataError: A field is missing, unknown, of another type or size, or negative.
        """
        reader = SumsReader(payload, where)
        confusion = cls.none(levels).confusion
        rows = reader.take("confusion")
        if _is_square_of_counts(rows, levels):
            confusion = np.array(rows, dtype=np.int64)
        elif rows is not None:
            reader.refuse("confusion", f"expected {levels} lists of {levels} integers from 0 to 2^53")
        undefined = reader.count("undefined")
        reader.finish()
        return cls(confusion, undefined)

    def _of_level(self, level: int, total: int) -> dict[str, float]:
        """Figures of a level against all others; none if it is neither among the images nor predicted."""
        hits = int(self.confusion[level, level])
        actual, predicted = int(self.confusion[level].sum()), int(self.confusion[:, level].sum())
        if not actual + predicted:
            return {}
        return {
            "acc": (total - actual - predicted + 2 * hits) / total,
            "f1": 2 * hits / (actual + predicted),
            "pre": hits / predicted if predicted else 0.0,
            "sen": hits / actual if actual else 0.0,
        }


def classification_update(scores: Tensor, truth: Tensor) -> ClassificationSums:
    """Sums of a batch of predicted levels.

    Args:
        scores: (B, K), probabilities or logits; the level of the highest is predicted, of equal ones the
            lowest level. NaN in a row makes its image undefined.
        truth: (B,), levels from 0 to K - 1.

    Raises:
        ValueError: The shapes do not fit, or a level is out of range.
    """
    if scores.ndim != 2 or scores.shape[1] < 2 or truth.shape != scores.shape[:1]:
        shapes = f"{tuple(scores.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"expected scores (B, K) of two levels or more and truth (B,), got {shapes}")
    count, levels = scores.shape
    defined = ~scores.isnan().any(1)
    predicted = scores.nan_to_num().argmax(1)
    return graded_update(predicted[defined], truth[defined], levels) + ClassificationSums(
        np.zeros((levels, levels), dtype=np.int64), count - int(defined.sum())
    )


def graded_update(predicted: Tensor, truth: Tensor, levels: int) -> ClassificationSums:
    """Sums of a batch of levels that are given as such, by a person or a network.

    Args:
        predicted: (B,), levels from 0 to K - 1.
        truth: (B,), likewise.
        levels: Number K of levels, 2 or more.

    Raises:
        ValueError: The shapes differ, or a level is no integer or out of range.
    """
    if predicted.ndim != 1 or predicted.shape != truth.shape:
        shapes = f"{tuple(predicted.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"expected predicted and true levels (B,), got {shapes}")
    if predicted.is_floating_point() or truth.is_floating_point():
        raise ValueError(f"expected integer levels, got {predicted.dtype} and {truth.dtype}")
    guessed, true = (given.detach().cpu().numpy().astype(np.int64) for given in (predicted, truth))
    both = np.concatenate([true, guessed])
    if both.size and not 0 <= both.min() <= both.max() < levels:
        raise ValueError(f"levels must be 0 to {levels - 1}, got {both.min()} to {both.max()}")
    confusion = np.bincount(true * levels + guessed, minlength=levels * levels)
    return ClassificationSums(confusion.reshape(levels, levels).astype(np.int64))


def _is_square_of_counts(rows: object, levels: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == levels
        and all(
            isinstance(row, list) and len(row) == levels and all(is_count(value) for value in row)
            for row in rows
        )
    )
