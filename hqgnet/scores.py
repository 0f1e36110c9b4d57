"""What a site says of a model: sums of metrics, never images, exact when merged over sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hqgnet.errors import DataError, Problem
from hqgnet.metrics.segmentation import SegmentationSums
from hqgnet.metrics.sums import MeanSums

VERSIONS = ("original", "enhanced")
IMAGE_METRICS = ("psnr", "ssim", "average_gradient", "entropy", "snr_3", "snr_5", "snr_7", "snr_9")
Row = dict[str, float | None]
Summable = TypeVar("Summable", MeanSums, SegmentationSums)


@dataclass(frozen=True)
class SiteScores:
    """Mergeable scores of original and enhanced images.

    Attributes:
        images: LQ images judged.
        means: Sums by metric and version, for example ``psnr_enhanced``.
        segmentation: Confusion counts and score histograms by version; empty where there are no masks.
    """

    images: int = 0
    means: Mapping[str, MeanSums] = field(default_factory=dict)
    segmentation: Mapping[str, SegmentationSums] = field(default_factory=dict)

    def __add__(self, other: SiteScores) -> SiteScores:
        """Scores on the union of both sets of images."""
        return SiteScores(
            self.images + other.images,
            _merged(self.means, other.means),
            _merged(self.segmentation, other.segmentation),
        )

    def row(self) -> Row:
        """Return the figures by name; None where no image had what the metric needs.

        Image metrics are means over images. ``dice_*`` and the like are pooled over pixels; ``dice_image_*``
        are means over images (see ``docs/concepts.md``).
        """
        row: Row = {"images": float(self.images)}
        for metric in IMAGE_METRICS:
            for version in VERSIONS:
                sums = self.means.get(f"{metric}_{version}")
                if sums is not None:
                    row[f"{metric}_{version}"] = sums.mean
        for version, segmentation in self.segmentation.items():
            row |= {f"{name}_{version}": value for name, value in segmentation.compute().items()}
        return row

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers for the wire."""
        return {
            "images": self.images,
            "means": {name: sums.to_json() for name, sums in self.means.items()},
            "segmentation": {name: sums.to_json() for name, sums in self.segmentation.items()},
        }

    @classmethod
    def from_json(cls, data: object) -> SiteScores:
        """Read what :meth:`to_json` gave, from a source that is not trusted.

        Raises:
            DataError: If anything is missing, unknown, or of the wrong kind.
        """
        if not isinstance(data, dict) or set(data) != {"images", "means", "segmentation"}:
            raise _malformed("has other parts than images, means, segmentation")
        images, means, segmentation = data["images"], data["means"], data["segmentation"]
        if type(images) is not int or not 0 <= images < 10**9:
            raise _malformed("has no sensible number of images")
        if not isinstance(means, dict) or not set(means) <= {
            f"{m}_{v}" for m in IMAGE_METRICS for v in VERSIONS
        }:
            raise _malformed("names an unknown metric")
        if not isinstance(segmentation, dict) or not set(segmentation) <= set(VERSIONS):
            raise _malformed("names an unknown version of the images")
        return cls(
            images,
            {name: MeanSums.from_json(value) for name, value in means.items()},
            {name: SegmentationSums.from_json(value) for name, value in segmentation.items()},
        )


def _merged(first: Mapping[str, Summable], second: Mapping[str, Summable]) -> dict[str, Summable]:
    merged = dict(first)
    for name, sums in second.items():
        merged[name] = merged[name] + sums if name in merged else sums
    return merged


def _malformed(what: str) -> DataError:
    return DataError(
        Problem("a site's scores", what, "Install the same version at the site and at the server")
    )
