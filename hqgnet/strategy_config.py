"""The keys of the experiment's ``federation`` section that say how updates become one model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

StrategyName = Literal[
    "fedavg",
    "fedprox",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "scaffold",
    "fedbn",
    "fedper",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
]
LocalGroup = Literal["cue_extractor", "generator", "backward_generator", "task", "autoencoder_decoder"]


class StrategyConfig(BaseModel):
    """How the sites' updates become one model; ``docs/strategies.md`` says which strategy is for what."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    strategy: StrategyName = Field(
        "fedavg", description="how updates become the next model; docs/strategies.md compares them"
    )
    weighting: Literal["lq_images", "all_images", "equal", "capped_images"] = Field(
        "lq_images",
        description="what a site's update weighs; capped_images: its LQ images, weight_cap at most",
    )
    weight_cap: int | None = Field(
        None, ge=1, description="the most that an update weighs; needs weighting capped_images"
    )
    proximal_mu: float = Field(
        0.01, gt=0, le=100, description="fedprox: pull of the global model on a site's (arXiv 1812.06127)"
    )
    server_learning_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        description="fedavgm, fedadam, fedyogi: the server's step; none: 1 for fedavgm, 0.01 for the others",
    )
    server_momentum: float = Field(
        0.9, ge=0, lt=1, description="fedavgm, fedadam, fedyogi: decay a round of the mean step"
    )
    server_second_moment: float = Field(
        0.99, ge=0, lt=1, description="fedadam, fedyogi: decay a round of the mean squared step"
    )
    server_adaptivity: float = Field(
        1e-3, gt=0, le=1, description="fedadam, fedyogi: tau, added to the root of the mean squared step"
    )
    trimmed_share: float = Field(
        0.2, ge=0, lt=0.5, description="trimmed_mean: share of the sites cut off at either end"
    )
    faulty_sites: int = Field(
        1, ge=0, description="krum, multi_krum: so many may be faulty; minimum_sites is 2 f + 3 at least"
    )
    selected_sites: int | None = Field(
        None, ge=1, description="multi_krum: updates averaged; none: all but faulty_sites"
    )
    local_groups: tuple[LocalGroup, ...] = Field(
        (),
        description="parameter groups that stay at each site (FedPer, arXiv 1912.00818)",
    )
    share_normalization: bool = Field(
        True,
        description="average batch normalisation too; else it stays local (fedbn: false; arXiv 2102.07623), "
        "the cue extractor's only without cue_bank",
    )
    minimum_sites: int = Field(
        2, ge=1, description="wait for so many sites, and so many valid replies a round"
    )

    @model_validator(mode="before")
    @classmethod
    def _normalization_of_fedbn(cls, given: Any) -> Any:
        """Say in the experiment itself that the strategy keeps normalisation at the sites."""
        if isinstance(given, dict) and given.get("strategy") == "fedbn":
            return {"share_normalization": False} | given
        return given

    @model_validator(mode="after")
    def _strategy_fits(self) -> StrategyConfig:
        mistakes = list(self._mistakes())
        if mistakes:
            raise ValidationError.from_exception_data("FederationConfig", mistakes)
        return self

    def _mistakes(self) -> Iterator[InitErrorDetails]:
        if self.strategy == "fedbn" and self.share_normalization:
            yield self._mistake("share_normalization", "fedbn keeps it at the sites: leave the key out")
        if self.strategy == "fedper" and not self.local_groups:
            yield self._mistake("local_groups", "fedper keeps groups at the sites: name them, or take fedavg")
        if (self.weighting == "capped_images") != (self.weight_cap is not None):
            what = "it and weighting capped_images belong together: give both or neither"
            yield self._mistake("weight_cap", what)
        least = 2 * self.faulty_sites + 3
        if self.strategy in ("krum", "multi_krum") and self.minimum_sites < least:
            what = f"{self.strategy} needs 2 faulty_sites + 3 of them: set it to {least} or more"
            yield self._mistake("minimum_sites", what)
        if self.strategy == "multi_krum" and (self.selected_sites or 0) > self.minimum_sites:
            yield self._mistake("selected_sites", "there may be only minimum_sites: lower it")

    def _mistake(self, key: str, text: str) -> InitErrorDetails:
        # The form in which pydantic tells a ValueError: hqgnet.yaml_files reads it.
        kind = PydanticCustomError("value_error", "Value error, {text}", {"text": text})
        return InitErrorDetails(type=kind, loc=(key,), input=getattr(self, key))
