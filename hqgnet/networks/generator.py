"""The enhancement network E_gen: ResNet-50 encoder, guided decoder (Section III-A, Eq. 2 to 6, Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.method_config import AblationConfig
from hqgnet.networks.cue_extractor import CUE_GRID
from hqgnet.networks.integration import Unguided, guided_level
from hqgnet.networks.normalization import LEAKY_SLOPE, ChannelMean, resized
from hqgnet.networks.padding import Padding, pad_to_multiple
from hqgnet.networks.resnet import ResNet
from hqgnet.presets import NetworkNumbers, OutputMode


@dataclass(frozen=True)
class Encoded:
    """What the encoder knows of a batch of images: enough to decode it with any number of guidance vectors.

    Attributes:
        images: The images as given, ``(B, C, H, W)``.
        stem: Features after the stem, of the padded images.
        features: f_1..f_4 of the padded images.
        structure: v_y, ``(B, structure_dim)``; f_4 where feature maps guide; None where v_z alone does.
        padding: What to crop from the decoder's result.
    """

    images: Tensor
    stem: Tensor
    features: tuple[Tensor, ...]
    structure: Tensor | None
    padding: Padding


_LOGIT_EDGE = 0.01
"""Black and white are taken as so much beside them: their logits are infinite."""


class UpBlock(nn.Module):
    """A decoder's block: r_k = conv3(conv1(cat(up2(h_{k+1}), f_k))) (Eq. 3).

    A LeakyReLU stands between the convolutions (our decision).

    Bilinear up-sampling is linear, acts on each channel alone and keeps constants, so it commutes with a 1x1
    convolution. conv1 is therefore applied to the two halves of the concatenation on their own, to h_{k+1}
    before it is enlarged: the same numbers from a quarter of the work on that half, and no concatenated copy.

    Args:
        coarse_width: Channels of h_{k+1}.
        skip_width: Channels of f_k; 0 for a block without skip.
        out_width: Channels of r_k.
    """

    def __init__(self, coarse_width: int, skip_width: int, out_width: int) -> None:
        super().__init__()
        self._coarse_width = coarse_width
        self.conv1 = nn.Conv2d(coarse_width + skip_width, out_width, 1)
        self.conv3 = nn.Conv2d(out_width, out_width, 3, padding=1)
        for layer in (self.conv1, self.conv3):
            nn.init.kaiming_normal_(layer.weight, a=LEAKY_SLOPE, nonlinearity="leaky_relu")

    def forward(self, coarse: Tensor, skip: Tensor | None = None) -> Tensor:
        """Return r_k (B, out_width, 2 H, 2 W).

        Args:
            coarse: h_{k+1}, ``(B, coarse_width, H, W)``.
            skip: f_k, ``(B, skip_width, 2 H, 2 W)``; ``None`` for a block without skip.
        """
        coarse_weight, skip_weight = self.conv1.weight.tensor_split((self._coarse_width,), dim=1)
        reduced = F.conv2d(coarse, coarse_weight, self.conv1.bias)
        features = F.interpolate(reduced, scale_factor=2.0, mode="bilinear", align_corners=False)
        if skip is not None:
            features = features + F.conv2d(skip, skip_weight)
        result: Tensor = self.conv3(F.leaky_relu(features, LEAKY_SLOPE))
        return result


class Generator(nn.Module):
    """E_gen: enhances LQ images under the guidance of v_z.

    Four decoder levels do not bring a ResNet-50 back to full resolution: a tail without VIN follows, whose
    first level takes the stem as its skip (our decision; "the last layer abandoned" is read as the classifier
    head dropped).

    ``direct`` output is a sigmoid. ``logit`` output is sigmoid(logit(y) + ...): it starts near the identity
    and is in [0, 1] in training too. ``residual`` output is y + tanh(...), which starts near the identity; in
    training mode it is left unclamped, for the losses' gradient, in evaluation mode it is clamped to [0, 1].

    Args:
        numbers: Widths and depths.
        channels: Image channels C, 1 or 3.
        output: Overrides the numbers' output mode.
        ablation: What guides the decoder, where and how (Table V); the paper's method by default.
    """

    def __init__(
        self,
        numbers: NetworkNumbers,
        channels: int,
        output: OutputMode | None = None,
        ablation: AblationConfig | None = None,
    ) -> None:
        super().__init__()
        ablation = ablation or AblationConfig()
        self.output_mode: OutputMode = output or numbers.output
        self.stride = numbers.stride
        self._guided_by = ablation.guidance_vector
        self._cue_width = numbers.cue_widths[3]
        features, widths = numbers.feature_widths, numbers.decoder_widths
        self.encoder = ResNet(
            channels,
            stem_width=numbers.stem_width,
            stem_stride=numbers.stem_stride,
            widths=numbers.encoder_widths,
            blocks=numbers.encoder_blocks,
            expansion=numbers.encoder_expansion,
            kind="bottleneck",
            momentum=numbers.normalization_momentum,
        )
        if self._guided_by == "v_c":
            self.pool = ChannelMean()
            self.fc = nn.Linear(features[3], numbers.structure_dim)
        self.bottom = nn.Conv2d(features[3], widths[3], 3, padding=1)
        # From coarse to fine: r_3, r_2, r_1; then the tail.
        self.blocks = nn.ModuleList(UpBlock(widths[k + 1], features[k], widths[k]) for k in (2, 1, 0))
        condition_dim, maps = _condition_dim(numbers, ablation), self._guided_by == "feature"
        self.guided = nn.ModuleList(
            guided_level(ablation.normalization, widths[k], condition_dim, maps=maps)
            if k == 3 or ablation.multi_scale
            else Unguided()
            for k in (3, 2, 1, 0)
        )
        self.tail = nn.ModuleList()
        coarse, skip = widths[0], numbers.stem_width
        for width in numbers.tail_widths:
            self.tail.append(UpBlock(coarse, skip, width))
            coarse, skip = width, 0
        self.last = nn.Conv2d(coarse, channels, 1)
        if self.output_mode != "direct":
            # Small, not zero: the image starts unchanged, yet the first step already reaches every layer.
            nn.init.normal_(self.last.weight, std=1e-3)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        if ablation.guidance == "learnable":
            self.learned_cue = nn.Parameter(torch.randn(numbers.guidance_dim))

    def forward(self, lq: Tensor, guidance: Tensor | None) -> Tensor:
        """Enhance images ``lq`` (B, C, H, W) in [0, 1], guided by v_z ``guidance`` (B, guidance_dim)."""
        return self.decode(self.encode(lq), guidance)

    def encode(self, lq: Tensor) -> Encoded:
        """Encode images (B, C, H, W) in [0, 1], of any size, once for all decoding."""
        padded, padding = pad_to_multiple(lq, self.stride)
        stem, features = self.encoder.pyramid(padded)
        return Encoded(lq, stem, features, self._structure(features[-1]), padding)

    def structure(self, images: Tensor) -> Tensor | None:
        """Return v_y = FC_e(E_e(images)), (B, structure_dim), of images (B, C, H, W), without decoding."""
        return self._structure(self.deepest(images))

    def deepest(self, images: Tensor) -> Tensor:
        """Return f_4 of images (B, C, H, W), padded."""
        features: Tensor = self.encoder(pad_to_multiple(images, self.stride)[0])
        return features

    def joint(self, guidance: Tensor | None, structure: Tensor | None) -> Tensor:
        """Return what guides the decoder: v_c = [v_z, v_y] (B, joint_dim) (Eq. 2), or what stands for it.

        Args:
            guidance: v_z, ``(B, guidance_dim)``; flattened feature maps where those guide; None where no HQ
                image does.
            structure: As :meth:`encode` and :meth:`structure` give it.
        """
        if self._guided_by == "feature":
            if guidance is None or structure is None:
                raise ValueError("feature maps of an HQ image and of the LQ image are needed")
            return self.combined(guidance, structure)
        if hasattr(self, "learned_cue") and structure is not None:
            guidance = self.learned_cue.expand(structure.shape[0], -1)
        return torch.cat([part for part in (guidance, structure) if part is not None], dim=1)

    def combined(self, cues: Tensor, deepest: Tensor) -> Tensor:
        """Return feature maps of the HQ image, at the size of f_4, and f_4: (B, cue width + f_4's, h, w).

        Args:
            cues: Flattened maps, as :meth:`hqgnet.networks.cue_extractor.CueExtractor.grid` gives them.
            deepest: f_4.
        """
        maps = cues.view(-1, self._cue_width, CUE_GRID, CUE_GRID)
        return torch.cat([resized(maps, deepest).to(deepest.dtype), deepest], dim=1)

    def decode(self, encoded: Encoded, guidance: Tensor | None) -> Tensor:
        """Make the enhanced images.

        Args:
            encoded: What :meth:`encode` returned.
            guidance: v_z, ``(B, guidance_dim)``; see :meth:`joint`.

        Returns:
            ``(B, C, H, W)``; in [0, 1] except for ``residual`` output in training mode.
        """
        joint = self.joint(guidance, encoded.structure)
        level4, *finer = self.guided
        hidden = level4(self.bottom(encoded.features[3]), joint)
        for block, vin, skip in zip(self.blocks, finer, reversed(encoded.features[:3]), strict=True):
            hidden = vin(block(hidden, skip), joint)
        first, *others = self.tail
        hidden = F.leaky_relu(first(hidden, encoded.stem), LEAKY_SLOPE)
        for block in others:
            hidden = F.leaky_relu(block(hidden), LEAKY_SLOPE)
        return self._image(encoded, encoded.padding.crop(self.last(hidden)))

    def _image(self, encoded: Encoded, raw: Tensor) -> Tensor:
        # float32 before the squashing function: bfloat16 has fewer steps in [0, 1] than an 8-bit image.
        if self.output_mode == "direct":
            return torch.sigmoid(raw.float())
        if self.output_mode == "logit":
            return torch.sigmoid(torch.logit(encoded.images.float(), eps=_LOGIT_EDGE) + raw.float())
        enhanced = encoded.images + torch.tanh(raw.float())
        return enhanced if self.training else enhanced.clamp(0.0, 1.0)

    def _structure(self, deepest: Tensor) -> Tensor | None:
        if self._guided_by != "v_c":
            return deepest if self._guided_by == "feature" else None
        # FC_e on the pooled f_4 (our decision), so that any image size works.
        structure: Tensor = self.fc(self.pool(deepest))
        return structure


def _condition_dim(numbers: NetworkNumbers, ablation: AblationConfig) -> int:
    if ablation.guidance_vector == "feature":
        return numbers.cue_widths[3] + numbers.feature_widths[3]
    cue = 0 if ablation.guidance == "none" else numbers.guidance_dim
    return cue + (numbers.structure_dim if ablation.guidance_vector == "v_c" else 0)
