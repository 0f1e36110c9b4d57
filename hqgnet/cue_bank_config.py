"""The experiment's ``federation.cue_bank`` section: cues that hospitals lend to those without HQ images."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CueBankConfig(BaseModel):
    """A bank of HQ cues; ``docs/cue-bank.md`` says what leaves and what it is for.

    ``cue_bank: on`` is short for ``cue_bank: {enabled: true}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(
        False,
        strict=True,
        description="sites without HQ images are guided by cues that willing sites lend (policy.cue_bank); "
        "`cue_bank: on` is short for this",
    )
    minimum_images: int = Field(
        16, strict=True, ge=2, description="a site lends cues of at least so many HQ training images"
    )
    norm_limit: float = Field(
        20.0,
        gt=0,
        description="each image's v_z is scaled down to this L2 norm before mean and covariance are taken",
    )
    refresh: int = Field(
        5,
        strict=True,
        ge=1,
        description="rounds after which cues are collected anew, for the cue extractor has moved; at the "
        "start of the phases enhance and cooperate, and for a model that is judged, always",
    )

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, given: Any) -> Any:
        """Read ``on`` and ``off``, which YAML gives as true and false."""
        return {"enabled": given} if isinstance(given, bool) else given
