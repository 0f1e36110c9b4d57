"""The ``policy`` section of a site YAML: what this hospital lets happen. The defaults allow an ordinary run.

Enforced by :mod:`client.governor` in a process of the hospital's own installation; whatever a server asks
beyond it is declined.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hqgnet.config import PhaseName

GroupName = Literal["cue_extractor", "generator", "discriminator", "task", "autoencoder_decoder"]
_Names = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    groups: tuple[GroupName, ...] = Field(
        ("cue_extractor", "generator", "task", "autoencoder_decoder"),
        description="parameter groups that may leave",
    )
    metrics: tuple[_Names, ...] | None = Field(
        None, description="metrics whose sums may leave, such as psnr or segmentation; null: all"
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
        1, strict=True, ge=1, description="fewer LQ or HQ images to train on than this: no update leaves"
    )
    minimum_images_for_metrics: int = Field(
        1, strict=True, ge=1, description="sums of metrics over fewer images than this do not leave"
    )
    smallest_count: int = Field(
        1, strict=True, ge=1, description="counts from 1 to below this are hidden in the data card"
    )
    clip_norm: float | None = Field(
        None, gt=0, description="an update's L2 distance from what came is scaled down to this"
    )
    noise: NoisePolicy | None = Field(None, description="Gaussian noise on every update; needs clip_norm")

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
