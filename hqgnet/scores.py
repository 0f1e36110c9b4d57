"""What a site says of a model: sums of metrics, never images, exact when merged over sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hqgnet.data.grades import LEVELS
from hqgnet.errors import DataError, Problem
from hqgnet.metrics.classification import ClassificationSums
from hqgnet.metrics.names import GRADING, IMAGE_METRICS, QUALITY_AUC, REASON_TEXTS, SEGMENTATION, Reason
from hqgnet.metrics.segmentation import SegmentationSums
from hqgnet.metrics.sums import MeanSums

VERSIONS = ("original", "enhanced")

Row = dict[str, float | None]
Summable = TypeVar("Summable", MeanSums, SegmentationSums, ClassificationSums)
_MEANS = {*(f"{metric}_{version}" for metric in IMAGE_METRICS for version in VERSIONS), QUALITY_AUC}
_REASONED = {*IMAGE_METRICS, SEGMENTATION, GRADING}
_PARTS = ("images", "means", "segmentation", "grading", "reasons")
_SHARE = (0.0, 1.0)
_RANGES = {
    "psnr": (0.0, 100.0),
    "ssim": (-1.0, 1.0),
    "average_gradient": (0.0, 255.0),
    "entropy": (0.0, 8.0),
    "s_hq": _SHARE,
    "niqe": (0.0, 1e6),
}
"""Of figures of an image in [0, 1], smallest and largest."""

_WIDEST = (-1e6, 1e6)
"""Of the others, far beyond what they can be: 950 dB (SNR of single precision) and 370,000 (BRISQUE)."""

_LARGEST_IMAGE = 4096**2
"""Pixels of an image at the largest size at which a federation judges."""


@dataclass(frozen=True)
class Gap:
    """A metric that not every image has.

    Attributes:
        counted: How many images have it.
        reasons: Why the others have not.
    """

    counted: int
    reasons: list[Reason]

    @property
    def text(self) -> str:
        """The reasons, for a person."""
        return "; ".join(REASON_TEXTS[reason] for reason in self.reasons)


@dataclass(frozen=True)
class SiteScores:
    """Mergeable scores of original and enhanced images.

    Attributes:
        images: LQ images judged.
        means: Sums by metric and version, for example ``psnr_enhanced``; an image counts for both versions
            or for neither. Besides ``s_hq_auc``, of the site's own quality classifier: not a sum over the
            judged images, but the figure as often as there are held-out images of the rarer kind, LQ or HQ;
            the site's policy tells it once.
        segmentation: Confusion counts and score histograms by version; empty where there are no masks.
        grading: Confusion counts of levels by version; empty where there are no grades.
        reasons: Why some images, or all, have no figure: by metric, without version.
    """

    images: int = 0
    means: Mapping[str, MeanSums] = field(default_factory=dict)
    segmentation: Mapping[str, SegmentationSums] = field(default_factory=dict)
    grading: Mapping[str, ClassificationSums] = field(default_factory=dict)
    reasons: Mapping[str, frozenset[Reason]] = field(default_factory=dict)

    def __add__(self, other: SiteScores) -> SiteScores:
        """Scores on the union of both sets of images; the AUC of one site's classifier is not among them."""
        names = {**self.reasons, **other.reasons}
        means = _merged(self.means, other.means)
        means.pop(QUALITY_AUC, None)
        return SiteScores(
            self.images + other.images,
            means,
            _merged(self.segmentation, other.segmentation),
            _merged(self.grading, other.grading),
            {
                name: self.reasons.get(name, frozenset()) | other.reasons.get(name, frozenset())
                for name in names
            },
        )

    def row(self) -> Row:
        """Return the figures by name; None where no image had what the metric needs.

        Image metrics are means over images. ``dice_*`` and the like are pooled over pixels; ``dice_image_*``
        are means over images (see ``docs/concepts.md``). Figures of levels are ``grade_f1_*`` and the like,
        of one level ``grade_f1_2_*``.
        """
        row: Row = {"images": float(self.images)}
        for metric in IMAGE_METRICS:
            for version in VERSIONS:
                sums = self.means.get(f"{metric}_{version}")
                if sums is not None:
                    row[f"{metric}_{version}"] = sums.mean
        if QUALITY_AUC in self.means:
            row[QUALITY_AUC] = self.means[QUALITY_AUC].mean
        for version, segmentation in self.segmentation.items():
            row |= {f"{name}_{version}": value for name, value in segmentation.compute().items()}
        for version, grading in self.grading.items():
            row |= {f"grade_{name}_{version}": value for name, value in grading.compute().items()}
        return row

    def counted(self, metric: str) -> int:
        """Return how many images have a figure of a metric; of segmentation a Dice.

        Args:
            metric: Without version: ``psnr``, ``segmentation``, ``grading``.
        """
        if metric == SEGMENTATION:
            return max((sums.per_image["dice"].count for sums in self.segmentation.values()), default=0)
        if metric == GRADING:
            return max((int(sums.confusion.sum()) for sums in self.grading.values()), default=0)
        sums = self.means.get(f"{metric}_enhanced")
        return sums.count if sums else 0

    def gaps(self) -> dict[str, Gap]:
        """Return the metrics that not every image has, with the reasons.

        An image with an empty mask lacks a sensitivity and an AUC of its own. Its Dice is defined, and its
        pixels are in the pooled figures: of that alone there is no gap.
        """
        return {
            name: Gap(self.counted(name), sorted(found, key=list(Reason).index))
            for name, found in self.reasons.items()
            if Reason.WITHHELD in found or (found and self.counted(name) < self.images)
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers for the wire."""
        return {
            "images": self.images,
            "means": {name: sums.to_json() for name, sums in self.means.items()},
            "segmentation": {name: sums.to_json() for name, sums in self.segmentation.items()},
            "grading": {name: sums.to_json() for name, sums in self.grading.items()},
            "reasons": {name: sorted(found) for name, found in self.reasons.items()},
        }

    @classmethod
    def from_json(cls, data: object) -> SiteScores:
        """Read what :meth:`to_json` gave, from a source that is not trusted.

        Raises:
            DataError: If anything is missing, unknown, of the wrong kind, or such as no images could give.
        """
        if not isinstance(data, dict) or set(data) != set(_PARTS):
            raise _malformed(f"has other parts than {', '.join(_PARTS)}")
        images = data["images"]
        if type(images) is not int or not 0 <= images < 10**9:
            raise _malformed("has no sensible number of images")
        means = _mapping(data["means"], _MEANS, "metric")
        segmentation = _mapping(data["segmentation"], set(VERSIONS), "version of the images")
        grading = _mapping(data["grading"], set(VERSIONS), "version of the images")
        reasons = _mapping(data["reasons"], _REASONED, "metric")
        scores = cls(
            images,
            {name: MeanSums.from_json(value) for name, value in means.items()},
            {name: SegmentationSums.from_json(value) for name, value in segmentation.items()},
            {name: ClassificationSums.from_json(value, LEVELS) for name, value in grading.items()},
            {name: _read_reasons(value) for name, value in reasons.items()},
        )
        _check_possible(scores)
        return scores


def _check_possible(scores: SiteScores) -> None:
    """Check that images could give such sums.

    Raises:
        DataError: They are over more images than were judged, or a mean lies outside its metric's range.
    """
    for name, sums in scores.means.items():
        # Held-out images of both splits are other images than those judged.
        if name != QUALITY_AUC and sums.images > scores.images:
            raise _malformed(f"counts more images for {name} than were judged")
        limits = _SHARE if name == QUALITY_AUC else _RANGES.get(name.rpartition("_")[0], _WIDEST)
        if not sums.is_within(*limits):
            raise _malformed(f"gives an impossible mean of {name}")
    for segmentation in scores.segmentation.values():
        figures = segmentation.per_image.values()
        most = max(figure.images for figure in figures)
        if most > scores.images or segmentation.pixels > scores.images * _LARGEST_IMAGE:
            raise _malformed("counts more images or pixels for segmentation than were judged")
        if not all(figure.is_within(*_SHARE) for figure in figures):
            raise _malformed("gives an impossible mean of a segmentation figure")
    for grading in scores.grading.values():
        if int(grading.confusion.sum()) + grading.undefined > scores.images:
            raise _malformed("counts more images for grading than were judged")


def _merged(first: Mapping[str, Summable], second: Mapping[str, Summable]) -> dict[str, Summable]:
    merged = dict(first)
    for name, sums in second.items():
        merged[name] = merged[name] + sums if name in merged else sums
    return merged


def _mapping(data: object, known: set[str], what: str) -> dict[str, object]:
    if not isinstance(data, dict) or not set(data) <= known:
        raise _malformed(f"names an unknown {what}")
    return data


def _read_reasons(data: object) -> frozenset[Reason]:
    if not isinstance(data, list) or not set(map(str, data)) <= set(map(str, Reason)):
        raise _malformed("gives an unknown reason")
    return frozenset(Reason(str(code)) for code in data)


def _malformed(what: str) -> DataError:
    return DataError(
        Problem("a site's scores", what, "Install the same version at the site and at the server")
    )
