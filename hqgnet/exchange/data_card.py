"""The data card: all that a site tells of its images. Counts, and no name of a file or patient."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hqgnet.config import NAME_PATTERN, Modality
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.yaml_files import validate_mapping

if TYPE_CHECKING:
    from hqgnet.data.site_data import SiteData

_LARGEST_COUNT = 10**9
_LONGEST_TEXT = 2**14


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SplitCounts(_Strict):
    """Images by split."""

    train: int = Field(ge=0, le=_LARGEST_COUNT, description="images to train on")
    validation: int = Field(ge=0, le=_LARGEST_COUNT, description="images that choose the best model")
    test: int = Field(ge=0, le=_LARGEST_COUNT, description="images for the final figures")

    @property
    def total(self) -> int:
        """Images of all splits."""
        return self.train + self.validation + self.test


class DataCard(_Strict):
    """What a site's data are, in numbers."""

    name: str = Field(pattern=NAME_PATTERN, max_length=63, description="the site's name")
    modality: Modality = Field(description="what the images are")
    channels: Literal[1, 3] = Field(description="1 for grey, 3 for colour images")
    lq: SplitCounts = Field(description="usable LQ images")
    hq: SplitCounts = Field(description="usable HQ images")
    patients: int = Field(ge=0, le=_LARGEST_COUNT, description="patients with a usable image")
    masks: int = Field(ge=0, le=_LARGEST_COUNT, description="LQ images with a mask")
    twins: int = Field(ge=0, le=_LARGEST_COUNT, description="LQ images with a clean twin")
    skipped: int = Field(ge=0, le=_LARGEST_COUNT, description="files that cannot be read")
    shortest_side: int = Field(ge=1, le=_LARGEST_COUNT, description="of all images, in pixels")
    longest_side: int = Field(ge=1, le=_LARGEST_COUNT, description="of all images, in pixels")
    has_masks: bool = Field(description="whether the site can train the downstream network")
    has_twins: bool = Field(description="whether the site can judge by clean twins")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DataCard:
        mistakes = []
        if max(self.masks, self.twins) > self.lq.total:
            mistakes.append("more masks or twins than LQ images")
        if self.patients > self.lq.total + self.hq.total:
            mistakes.append("more patients than images")
        if self.shortest_side > self.longest_side:
            mistakes.append("the shortest side exceeds the longest")
        if (self.has_masks and not self.masks) or self.has_twins != (self.twins > 0):
            mistakes.append("has_masks or has_twins contradicts the counts")
        if mistakes:
            raise ValueError(f"{'; '.join(mistakes)}: the card was not made by this software")
        return self

    @classmethod
    def of(cls, data: SiteData) -> DataCard:
        """Return the card of an opened site."""
        lq = [sample for samples in data.lq.values() for sample in samples]
        hq = [sample for samples in data.hq.values() for sample in samples]
        return cls(
            name=data.config.name,
            modality=data.config.modality,
            channels=data.config.channels,
            lq=SplitCounts(**{split: len(samples) for split, samples in data.lq.items()}),
            hq=SplitCounts(**{split: len(samples) for split, samples in data.hq.items()}),
            patients=len({sample.patient for sample in [*lq, *hq]}),
            masks=sum(sample.mask is not None for sample in lq),
            twins=sum(sample.twin is not None for sample in lq),
            skipped=len(data.skipped),
            shortest_side=data.size_range[0],
            longest_side=data.size_range[1],
            has_masks=data.has_masks,
            has_twins=data.has_twins,
        )

    def to_json(self) -> str:
        """Canonical JSON: equal cards give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, where: str) -> DataCard:
        """Read a card that came from a site.

        Args:
            text: What :meth:`to_json` gave.
            where: Said in errors (``"site-1's data card"``).

        Raises:
            ConfigurationError: If it is not a valid card.
        """
        if len(text) > _LONGEST_TEXT:
            what = f"is {len(text)} characters long"
            raise ConfigurationError(Problem(where, what, "Install the same version at both ends"))
        try:
            mapping = json.loads(text)
        except (ValueError, RecursionError):
            mapping = None
        return validate_mapping(mapping, cls, where)
