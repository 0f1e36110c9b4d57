"""The data card: all that a site tells of its images. Counts, and no name of a file or patient."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hqgnet.config import NAME_PATTERN, Modality
from hqgnet.data.grades import LEVELS
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.yaml_files import validate_mapping

if TYPE_CHECKING:
    from hqgnet.data.site_data import SiteData

CountName = Literal[
    "lq.train",
    "lq.validation",
    "lq.test",
    "hq.train",
    "hq.validation",
    "hq.test",
    "patients",
    "masks",
    "twins",
    "skipped",
    "graded",
    "levels",
]
_COUNTS: tuple[CountName, ...] = get_args(CountName)
_OF_GRADED_SITES = frozenset({"has_grades", "graded", "levels"})
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
    has_grades: bool = Field(False, description="whether the site can train a network that grades images")
    graded: int = Field(0, ge=0, le=_LARGEST_COUNT, description="LQ images with a grade")
    levels: tuple[Annotated[int, Field(ge=0, le=_LARGEST_COUNT)], ...] = Field(
        (),
        strict=False,  # JSON has no tuples; their numbers stay strict
        description="LQ images of each level from 0; nothing where there are no grades",
    )
    hidden: tuple[CountName, ...] = Field(
        (),
        strict=False,  # JSON has no tuples; the names themselves are fixed
        max_length=len(_COUNTS),
        description="counts that the site keeps to itself because they are small; told as 0",
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DataCard:
        mistakes = []
        hidden = set(self.hidden)
        lq_is_told = not any(name.startswith("lq.") for name in hidden)
        hq_is_told = not any(name.startswith("hq.") for name in hidden)
        if lq_is_told and max(self.masks, self.twins, self.graded) > self.lq.total:
            mistakes.append("more masks, twins or grades than LQ images")
        if lq_is_told and hq_is_told and self.patients > self.lq.total + self.hq.total:
            mistakes.append("more patients than images")
        if self.shortest_side > self.longest_side:
            mistakes.append("the shortest side exceeds the longest")
        has_masks, has_twins = bool(self.masks) or "masks" in hidden, bool(self.twins) or "twins" in hidden
        if (self.has_masks and not has_masks) or self.has_twins != has_twins:
            mistakes.append("has_masks or has_twins contradicts the counts")
        is_graded = bool(self.graded) or "graded" in hidden
        if (self.has_grades or "levels" in hidden) and not is_graded:
            mistakes.append("has_grades or hidden levels contradict the number of graded images")
        levels_are_told = is_graded and "levels" not in hidden
        if len(self.levels) != LEVELS * levels_are_told or sum(self.levels) != self.graded * levels_are_told:
            mistakes.append("the levels contradict the number of graded images")
        if len(hidden) < len(self.hidden) or any(sum(self._counts(name)) for name in hidden):
            mistakes.append("a hidden count is told, or named twice")
        if mistakes:
            raise ValueError(f"{'; '.join(mistakes)}: the card was not made by this software")
        return self

    @property
    def has_hq(self) -> bool:
        """Whether there are HQ images to train on, told or hidden."""
        return bool(self.hq.train) or "hq.train" in self.hidden

    @classmethod
    def of(cls, data: SiteData) -> DataCard:
        """Return the card of an opened site."""
        lq = [sample for samples in data.lq.values() for sample in samples]
        hq = [sample for samples in data.hq.values() for sample in samples]
        grades = [sample.grade for sample in lq if sample.grade is not None]
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
            has_grades=data.has_grades,
            graded=len(grades),
            levels=tuple(grades.count(level) for level in range(LEVELS)) if grades else (),
        )

    def hiding(self, smallest: int) -> DataCard:
        """Return the card without small counts: one from 1 to below ``smallest`` is told as 0, and named.

        A true 0 stays told, and what the site can do (``has_masks``, ``has_twins``, ``has_grades``) as well.
        Where one level has a small count none is told: the others would give it away.

        Args:
            smallest: The smallest count that may be told; 1 hides nothing.
        """
        small = [name for name in _COUNTS if any(0 < count < smallest for count in self._counts(name))]
        card = self.model_dump()
        for name in small:
            part, _, split = name.partition(".")
            if split:
                card[part][split] = 0
            else:
                card[part] = () if name == "levels" else 0
        card["hidden"] = tuple(name for name in _COUNTS if name in small or name in self.hidden)
        return DataCard.model_validate(card)

    def _counts(self, name: CountName) -> tuple[int, ...]:
        if name == "levels":
            return self.levels
        part, _, split = name.partition(".")
        count: int = getattr(getattr(self, part), split) if split else getattr(self, part)
        return (count,)

    def to_json(self) -> str:
        """Canonical JSON: equal cards give equal text.

        ``hidden`` stands in it only where something is, and what is told of grades only where there are some.
        """
        left_out = set() if self.hidden else {"hidden"}
        if not (self.graded or "graded" in self.hidden):
            left_out |= _OF_GRADED_SITES
        card = self.model_dump(mode="json", exclude=left_out)
        return json.dumps(card, sort_keys=True, separators=(",", ":"))

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
