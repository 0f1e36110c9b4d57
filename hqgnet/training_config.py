"""The experiment's ``training`` section: what a step does; the same at every site."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hqgnet.presets import DiscriminatorNormalization

SubBand = Literal["horizontal", "vertical", "diagonal"]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LossWeights(_Frozen):
    """The paper's trade-off parameters, and one for the reading of its Eq. 7."""

    structure: float = Field(
        1.0,
        ge=0,
        description="weighs L_Haar in Eq. 9. The paper's norm may be a sum over pixels; ours is a mean, the "
        "same at every size: raise this where structure must weigh more beside the GAN loss",
    )
    feature_consistency: float = Field(10.0, ge=0, description="lambda_1 of Eq. 9, weighs L_FC")
    adversarial: float = Field(1.0, ge=0, description="lambda_2 of Eq. 11, weighs L_GAN")
    enhancement: float = Field(
        5.0, ge=0, description="lambda_3 of Eq. 15, weighs L_e beside the downstream loss"
    )


class TrainingConfig(_Frozen):
    """What a training step does; the same at every site."""

    batch_size: int = Field(4, ge=1, le=256, description="images a step")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's step size")
    task_learning_rate: float | None = Field(
        None, gt=0, le=1, description="the downstream network's step size; learning_rate if not given"
    )
    discriminator_rate_factor: float = Field(
        1.0,
        gt=0,
        le=100,
        description="the discriminators' step size, in step sizes of what enhances (two time scales, "
        "arXiv 1706.08500); a discriminator that keeps up makes runs swing less",
    )
    schedule: Literal["constant", "linear"] = Field(
        "constant",
        description="step sizes within a phase: as given, or from the middle of its steps falling to 0 (as "
        "CycleGAN, arXiv 1703.10593): a GAN then swings less where it ends",
    )
    betas: tuple[Momentum, Momentum] = Field((0.5, 0.99), description="Adam's momentum terms")
    cue_extractor: Literal["finetune", "frozen"] = Field(
        "finetune", description="after pretraining: train the whole cue extractor, or only its last layer"
    )
    adversarial: Literal["bce", "lsgan"] = Field("bce", description="form of the GAN loss (Eq. 10)")
    discriminator_normalization: DiscriminatorNormalization = Field(
        "instance",
        description="of HQG-Net's and StillGAN's discriminators. instance: of features, as in the paper; an "
        "image's mean colour is next to invisible then; spectral: of weights (arXiv 1802.05957), so that "
        "colour is judged, and runs swing less",
    )
    sub_bands: Annotated[tuple[SubBand, ...], Field(min_length=1)] = Field(
        ("horizontal", "vertical", "diagonal"), description="Haar sub-bands in L_Haar (Table V g)"
    )
    segmentation_loss: Literal["mse_dice", "bce_dice", "bce"] = Field(
        "mse_dice", description="the segmentor's loss; CS-Net was published with mse_dice, PNS-Net with bce"
    )
    weights: LossWeights = Field(default_factory=LossWeights, description="lambda_1, lambda_2, lambda_3")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 runs the networks under autocast; losses and weights stay float32"
    )
    compile: bool = Field(
        False,
        strict=True,
        description="compile the networks at each site with torch.compile: needs a C++ compiler there, and a "
        "minute or more once; it did not pay on processors (docs/speed.md)",
    )
