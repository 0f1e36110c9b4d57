"""The experiment's ``downstream`` section: which network judges enhanced images, and who trains when."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Task = Literal["segmentation", "grading"]
Label = Literal["masks", "grades"]

NETWORK_TASKS: dict[str, Task] = {
    "csnet": "segmentation",
    "pnsnet": "segmentation",
    "deepgrading": "grading",
}
"""The downstream networks that are built here, and what each is for."""

CLASS_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
"""``package.module:Class``, as a network of one's own is named."""


class DownstreamConfig(BaseModel):
    """The downstream network, and the roles of phase ``cooperate``.

    The defaults are HQG-Net+. ``enhancer_trained_in_cooperate: false`` trains the downstream network alone on
    images of the finished enhancer ("HQG-Net" in Table VII); with ``sees: original`` as well, on images as
    they are ("Original").
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    network: str = Field(
        "csnet",
        max_length=200,
        description="`csnet`, `pnsnet`, `deepgrading`, or `package.module:Class`, an nn.Module of your "
        "own from images to logits, which every site must have installed, and list in `policy.networks`",
    )
    arguments: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="keyword arguments of the network's class; of your own class all of them, as channels",
    )
    task: Task = Field(
        "segmentation",
        description="segmentation: logits (B, 1, H, W) against masks; grading: logits (B, 4) against grades",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="safetensors file of pretrained weights, read where the run starts: at the server, or by "
        "`hqgnet train`; sites receive them",
    )
    segmentor_weights: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="deepgrading: safetensors file of the segmentor inside it, a CS-Net of the preset; read "
        "where the run starts",
    )
    trained_in_cooperate: bool = Field(
        True,
        description="false: the network keeps its weights, and its loss trains the enhancer alone",
    )
    enhancer_trained_in_cooperate: bool = Field(
        True,
        description="false: the enhancer is frozen, and the downstream network learns from its images alone",
    )
    sees: Literal["enhanced", "original"] = Field(
        "enhanced", description="what the downstream network is trained on in phase cooperate"
    )

    @field_validator("network")
    @classmethod
    def _is_a_network(cls, name: str) -> str:
        if name not in NETWORK_TASKS and not re.fullmatch(CLASS_PATTERN, name):
            known = ", ".join(NETWORK_TASKS)
            raise ValueError(f"no such network: take {known}, or package.module:Class of your own")
        return name

    @property
    def label(self) -> Label:
        """What the loss needs of an image."""
        return "masks" if self.task == "segmentation" else "grades"
