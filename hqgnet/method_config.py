"""The experiment's sections on the enhancer: HQG-Net's ablations (Table V), and the learned peers."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Method = Literal["hqgnet", "stillgan", "enlightengan", "caefi", "ata", "idrlp"]
ClassicalMethod = Literal["caefi", "ata", "idrlp"]
Guidance = Literal["hq", "none", "learnable"]
GuidancePool = Literal["one", "ten", "all"]
GuidanceForm = Literal["v_c", "v_z", "feature"]
Matching = Literal["vector", "features"]
Normalization = Literal["adalin", "adain", "adaln", "concatenate", "add", "multiply"]
ContentLoss = Literal["haar_and_consistency", "none", "haar", "consistency", "structure"]

CLASSICAL_METHODS: tuple[ClassicalMethod, ...] = get_args(ClassicalMethod)
"""Those that need no training (:mod:`hqgnet.classical`): only a downstream network can learn from them."""

PUBLISHED_TRAINING: MappingProxyType[Method, dict[str, Any]] = MappingProxyType(
    {
        "hqgnet": {},
        "stillgan": {"learning_rate": 2e-4, "betas": (0.5, 0.999), "batch_size": 1, "adversarial": "lsgan"},
        "enlightengan": {"betas": (0.5, 0.999), "adversarial": "lsgan"},
        **{method: {} for method in CLASSICAL_METHODS},
    }
)
"""Keys of ``training`` whose default is another for a method: what its authors published."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AblationConfig(_Frozen):
    """Switches of HQG-Net, a row of Table V each; the defaults are the paper's method."""

    guidance: Guidance = Field(
        "hq",
        description="Table V a. hq: cues of HQ images; none: no cue extractor, v_c is v_y; learnable: one "
        "learned tensor for v_z",
    )
    guidance_pool: GuidancePool = Field(
        "one",
        description="Table V c. HQ test images of which each LQ image gets one at random when a model is "
        "judged; one: always the first",
    )
    inter_variance: float = Field(
        0.0, ge=0, description="Table V b. weighs L_InterVar (Eq. 19) beside L_e: guides of different images"
    )
    intra_variance: float = Field(
        0.0, ge=0, description="Table V b. weighs L_IntraVar (Eq. 20) beside L_e: turned and flipped guides"
    )
    multi_scale: bool = Field(
        True, description="Table V d. false: only the deepest level of the decoder is guided"
    )
    guidance_vector: GuidanceForm = Field(
        "v_c",
        description="Table V d, Fig. 8. v_c: v_z and v_y; v_z: the cue alone; feature: feature maps in "
        "place of vectors",
    )
    normalization: Normalization = Field(
        "adalin", description="Table V d, e. how guidance enters the decoder's features"
    )
    feature_matching: Matching | None = Field(
        None,
        description="Table V e. what L_FC compares: guidance vectors, or combined feature maps; null: what "
        "guides",
    )
    content_loss: ContentLoss = Field(
        "haar_and_consistency",
        description="Table V f. what stands for L_CA: all of it, nothing, L_Haar or L_FC alone, or "
        "StillGAN's structure loss, which training.weights.structure weighs",
    )
    pretraining: Literal["hq_and_lq", "hq"] = Field(
        "hq_and_lq", description="Fig. 7. images on which the cue extractor is pretrained"
    )

    @property
    def matching(self) -> Matching:
        """What L_FC compares."""
        by_guidance: Matching = "features" if self.guidance_vector == "feature" else "vector"
        return self.feature_matching or by_guidance


class StillGanConfig(_Frozen):
    """StillGAN's losses; the defaults are the published ones."""

    cycle: float = Field(10.0, ge=0, description="weighs the cycle consistency, both ways")
    identity: float = Field(5.0, ge=0, description="weighs the identity loss, both ways")
    structure: float = Field(5.0, ge=0, description="weighs the structure loss, both ways")
    illumination: float = Field(1.0, ge=0, description="weighs the illumination regularisation")
    pool: int = Field(
        50,
        ge=0,
        le=1000,
        description="earlier images that each discriminator remembers; they stay at the site",
    )


class EnlightenGanConfig(_Frozen):
    """EnlightenGAN's losses and its feature network."""

    feature_network: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="safetensors file of a cue extractor for the self feature preserving loss, read where "
        "the run starts; null: the one of phase pretrain",
    )
    feature_preserving: float = Field(
        1.0, ge=0, description="weighs the self feature preserving loss, of the image and of its patches"
    )
    patches: int = Field(
        5, ge=0, le=64, description="further patches beside the first that the local discriminator sees"
    )
    patch_size: int = Field(32, ge=32, le=512, description="side of a patch, in pixels")
