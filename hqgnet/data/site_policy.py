"""The ``policy`` section of a site YAML: what this hospital lets happen. The defaults allow an ordinary run.

Enforced by :mod:`client.governor` in a process of the hospital's own installation; whatever a server asks
beyond it is declined.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hqgnet.config import FederationConfig, PhaseName
from hqgnet.downstream_config import CLASS_PATTERN
from hqgnet.metrics.names import GRADING, IMAGE_METRICS, SEGMENTATION

GroupName = Literal[
    "cue_extractor", "generator", "backward_generator", "discriminator", "task", "autoencoder_decoder"
]
_Names = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
_ClassName = Annotated[str, Field(pattern=CLASS_PATTERN, max_length=200)]


class _Frozen(BaseModel):
    # An infinite norm or budget would be no bound at all.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoisePolicy(_Frozen):
    """Gaussian noise on every update, and the budget that it is accounted against."""

    multiplier: float = Field(gt=0, le=1000, description="standard deviation of the noise over clip_norm")
    delta: float = Field(1e-5, gt=0, lt=1, description="delta at which epsilon is told")
    epsilon: float = Field(gt=0, description="budget: no update leaves that would bring epsilon above it")


class SitePolicy(_Frozen):
    """What may be asked of a site, and what may leave it."""

    phases: tuple[PhaseName, ...] = Field(
        ("pretrain", "enhance", "cooperate"), description="phases that this site trains"
    )
    strategies: tuple[_Names, ...] | None = Field(
        None, description="aggregation rules that it takes part in; null: any"
    )
    networks: tuple[_ClassName, ...] = Field(
        (),
        description="classes of downstream networks beside ours (`package.module:Class`) that an experiment "
        "may have built here, with arguments of its choice",
    )
    groups: tuple[GroupName, ...] = Field(
        ("cue_extractor", "generator", "backward_generator", "task", "autoencoder_decoder"),
        description="parameter groups that may leave",
    )
    metrics: tuple[_Names, ...] | None = Field(
        None, description="metrics whose sums may leave, such as psnr, segmentation or grading; null: all"
    )
    losses: bool = Field(True, strict=True, description="whether mean training losses may leave")
    steps_per_round: int = Field(10_000, strict=True, ge=1, description="most training steps a round")
    minutes_per_round: float = Field(
        120.0, gt=0, description="a request that takes longer is ended, and the site is free again"
    )
    gpu_memory_gb: float | None = Field(
        None, gt=0, description="most GPU memory that training may take; null: all"
    )
    megabytes_per_round: float = Field(
        4096.0, gt=0, description="largest reply that may leave, in 10^6 bytes"
    )
    minimum_images: int = Field(
        1,
        strict=True,
        ge=1,
        description="no update leaves unless its round is sure to use so many LQ and HQ images",
    )
    minimum_images_for_metrics: int = Field(
        1,
        strict=True,
        ge=1,
        description="sums of metrics over fewer images than this, or than smallest_count, do not leave",
    )
    smallest_count: int = Field(
        1, strict=True, ge=1, description="counts of images and patients from 1 to below this are hidden"
    )
    cue_bank: bool = Field(
        False,
        strict=True,
        description="whether mean and covariance of v_z over the HQ training images may leave, for hospitals "
        "without HQ images (docs/cue-bank.md)",
    )
    minimum_hq_images: int = Field(
        16, strict=True, ge=2, description="these leave only over so many images, and over smallest_count"
    )
    clip_norm: float | None = Field(
        None, gt=0, description="an update's L2 distance from what came is scaled down to this"
    )
    noise: NoisePolicy | None = Field(None, description="Gaussian noise on every update; needs clip_norm")

    @field_validator("strategies")
    @classmethod
    def _are_strategies(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _known(
            names, get_args(FederationConfig.model_fields["strategy"].annotation), "aggregation rule"
        )

    @field_validator("metrics")
    @classmethod
    def _are_metrics(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _known(names, (*IMAGE_METRICS, SEGMENTATION, GRADING), "metric")

    @model_validator(mode="after")
    def _consistent(self) -> SitePolicy:
        if self.noise is not None and self.clip_norm is None:
            raise ValueError("noise needs clip_norm, which bounds what one update can tell: give it")
        if self.smallest_count > self.minimum_images:
            raise ValueError(
                "smallest_count above minimum_images would let a site train with a hidden number of images: "
                "raise minimum_images"
            )
        return self

    def digest(self) -> str:
        """SHA-256 (hex) over all keys, given or by default."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _known(names: tuple[str, ...] | None, known: tuple[str, ...], what: str) -> tuple[str, ...] | None:
    """A misspelt name would forbid, or allow, something else than the hospital meant."""
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no {what}: take from {', '.join(known)}")
    return names
