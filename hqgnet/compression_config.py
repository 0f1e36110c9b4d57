"""The keys of the experiment's ``federation.compression`` section: fewer bytes between server and sites."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Upward = Literal["float32", "float16", "bfloat16", "int8", "topk"]
Downward = Literal["float32", "float16", "bfloat16"]
CodecName = Upward


class CompressionConfig(BaseModel):
    """In which form parameters travel; ``docs/smaller-updates.md`` says what each costs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    up: Upward = Field(
        "float32",
        description="form of a site's update. int8 and topk carry what they lose over to the site's next "
        "round of the phase (error feedback)",
    )
    down: Downward = Field("float32", description="form of the model that is sent to be trained")
    topk_share: float = Field(
        0.01, gt=0, le=0.5, description="topk: share of each large array's numbers that is sent, the largest"
    )
    zstd: bool = Field(
        False, description="compress both ways with zstd on top; float32 stays exact to the last bit"
    )

    @property
    def is_up(self) -> bool:
        """Whether an update travels in another form than plain float32."""
        return self.zstd or self.up != "float32"

    @property
    def is_down(self) -> bool:
        """Whether the model to be trained travels in another form than plain float32."""
        return self.zstd or self.down != "float32"

    @property
    def has_feedback(self) -> bool:
        """Whether a site carries what its update lost over to the next round."""
        return self.up in ("int8", "topk")
