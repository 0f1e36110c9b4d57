"""The presets: one network code, four sets of numbers.

Counted at 384x384 with both images in, discriminator, downstream network and autoencoder decoder out (see
:mod:`hqgnet.inspection`): ``paper`` comes next to Table IV, ``standard`` halves its work by a stem of stride
2, ``small`` and ``tiny`` are narrower and shallower, for processors without an accelerator.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DISCRIMINATOR_KERNEL = 4
PresetName = Literal["paper", "standard", "small", "tiny"]
OutputMode = Literal["direct", "residual", "logit"]
DiscriminatorNormalization = Literal["instance", "spectral"]
Positive = Annotated[int, Field(ge=1)]
FourNumbers = tuple[Positive, Positive, Positive, Positive]
FiveNumbers = tuple[Positive, Positive, Positive, Positive, Positive]


class NetworkNumbers(BaseModel):
    """Every number that the networks are built from.

    Channel counts are called widths. Tuples over levels run from the finest level to the coarsest, as
    f_1..f_4 and h_1..h_4 do in the paper, except ``tail_widths``, which runs on from h_1 towards the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem_stride: Literal[1, 2] = Field(
        description="stride of the generator's first convolution; a pool by 2 follows"
    )
    stem_width: Positive = Field(description="channels after the generator's first convolution")
    encoder_widths: FourNumbers = Field(description="inner widths of the bottleneck blocks of E_e")
    encoder_blocks: FourNumbers = Field(description="bottleneck blocks in each stage of E_e")
    encoder_expansion: Positive = Field(description="f_k has so many times the inner width of its stage")
    decoder_widths: FourNumbers = Field(description="channels of h_1..h_4")
    tail_widths: tuple[Positive, ...] = Field(description="channels of the levels between h_1 and the image")
    cue_widths: FourNumbers = Field(description="channels of the four stages of G")
    cue_blocks: FourNumbers = Field(description="basic blocks in each stage of G")
    guidance_dim: Positive = Field(64, description="length of v_z")
    structure_dim: Positive = Field(16, description="length of v_y")
    discriminator_width: Positive = Field(description="channels after the discriminator's first convolution")
    discriminator_layers: Positive = Field(description="strided convolutions; 3 give the 70x70 PatchGAN")
    discriminator_normalization: DiscriminatorNormalization = Field(
        "instance", description="of the discriminator: of its features, or of its weights"
    )
    segmentor_widths: FiveNumbers = Field(description="channels of CS-Net's five levels")
    normalization_momentum: float = Field(
        gt=0, le=1, description="weight of a new batch in the running statistics of batch normalisation"
    )
    output: OutputMode = Field(
        description="direct: a sigmoid makes the image; residual: the input plus a tanh; logit: a sigmoid of "
        "the input's logit plus what the network says"
    )

    @model_validator(mode="after")
    def _tail_reaches_the_image(self) -> NetworkNumbers:
        if len(self.tail_widths) != self.stem_stride:
            raise ValueError(
                f"tail_widths must have {self.stem_stride} entries for stem_stride {self.stem_stride}: "
                "one level to the stem's resolution, and one more if the stem is strided"
            )
        return self

    @property
    def feature_widths(self) -> tuple[int, int, int, int]:
        """Channels of f_1..f_4."""
        first, second, third, fourth = (width * self.encoder_expansion for width in self.encoder_widths)
        return first, second, third, fourth

    @property
    def joint_dim(self) -> int:
        """Length of the joint vector v_c (Eq. 2)."""
        return self.guidance_dim + self.structure_dim

    @property
    def stride(self) -> int:
        """Pixels of the image a pixel of f_4."""
        return 16 * self.stem_stride

    @property
    def patch_size(self) -> int:
        """Side in pixels of the patch that one logit of the discriminator sees: its receptive field."""
        field = 1
        for stride in (1, 1, *[2] * self.discriminator_layers):
            field = (field - 1) * stride + DISCRIMINATOR_KERNEL
        return field


_PAPER = NetworkNumbers(
    stem_stride=1,
    stem_width=64,
    encoder_widths=(64, 128, 256, 512),
    encoder_blocks=(3, 4, 6, 3),
    encoder_expansion=4,
    decoder_widths=(64, 128, 256, 1024),
    tail_widths=(64,),
    cue_widths=(64, 128, 256, 512),
    cue_blocks=(2, 2, 2, 2),
    discriminator_width=64,
    discriminator_layers=3,
    segmentor_widths=(32, 64, 128, 256, 512),
    normalization_momentum=0.1,
    output="direct",
)

PRESETS: dict[PresetName, NetworkNumbers] = {
    "paper": _PAPER,
    "standard": _PAPER.model_copy(
        update={
            "stem_stride": 2,
            "decoder_widths": (128, 256, 256, 1024),
            "tail_widths": (128, 64),
            "output": "residual",
        }
    ),
    "small": NetworkNumbers(
        stem_stride=2,
        stem_width=32,
        encoder_widths=(32, 64, 128, 256),
        encoder_blocks=(2, 3, 4, 2),
        encoder_expansion=4,
        decoder_widths=(64, 96, 128, 192),
        tail_widths=(48, 32),
        cue_widths=(32, 64, 128, 256),
        cue_blocks=(2, 2, 2, 2),
        discriminator_width=32,
        discriminator_layers=3,
        segmentor_widths=(16, 32, 64, 128, 256),
        normalization_momentum=0.1,
        output="residual",
    ),
    "tiny": NetworkNumbers(
        stem_stride=2,
        stem_width=16,
        encoder_widths=(16, 32, 64, 96),
        encoder_blocks=(1, 2, 2, 1),
        encoder_expansion=4,
        decoder_widths=(32, 48, 64, 96),
        tail_widths=(24, 16),
        cue_widths=(16, 32, 64, 128),
        cue_blocks=(2, 2, 2, 2),
        discriminator_width=16,
        discriminator_layers=2,
        segmentor_widths=(12, 16, 32, 48, 64),
        normalization_momentum=0.2,
        output="residual",
    ),
}
