"""The decoder with which the cue extractor is pretrained, dropped afterwards (Section III-A)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks.cue_extractor import CUE_STRIDE, CueExtractor
from hqgnet.networks.padding import pad_to_multiple
from hqgnet.networks.resnet import ResidualBlock, conv_norm, initialize_convolutions
from hqgnet.presets import NetworkNumbers


class TransposedBlock(nn.Module):
    """A basic residual block whose strided convolution is transposed: twice the size, ``out_width`` channels.

    Args:
        in_width: Channels that come in.
        out_width: Channels that go out.
        momentum: Of batch normalisation.
    """

    def __init__(self, in_width: int, out_width: int, momentum: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(in_width, in_width, 3, momentum=momentum),
            # A kernel that is a multiple of the stride covers every pixel equally often: no chequerboard.
            nn.ConvTranspose2d(in_width, out_width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_width, momentum=momentum),
        )
        self.shortcut = conv_norm(in_width, out_width, 1, momentum=momentum, activation=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, 2 H, 2 W)."""
        shortcut = F.interpolate(self.shortcut(features), scale_factor=2.0, mode="nearest")
        return F.relu(self.body(features) + shortcut)


class AutoencoderDecoder(nn.Module):
    """The cue extractor's trunk transposed, stage by stage, without skips.

    Args:
        numbers: Those of the cue extractor.
        channels: Image channels C.
    """

    def __init__(self, numbers: NetworkNumbers, channels: int) -> None:
        super().__init__()
        momentum = numbers.normalization_momentum
        self.stages = nn.Sequential()
        for level in (3, 2, 1, 0):
            width = numbers.cue_widths[level]
            same_size = numbers.cue_blocks[level] - (level > 0)
            for _ in range(same_size):
                self.stages.append(ResidualBlock(width, width, width, kind="basic", momentum=momentum))
            if level > 0:
                self.stages.append(TransposedBlock(width, numbers.cue_widths[level - 1], momentum))
        self.stem = nn.ConvTranspose2d(numbers.cue_widths[0], channels, 4, stride=2, padding=1)
        initialize_convolutions(self)

    def forward(self, features: Tensor) -> Tensor:
        """Return images (B, C, 32 h, 32 w) in [0, 1] for the trunk's feature map (B, cue_widths[3], h, w)."""
        pooled = self.stages(features)
        unpooled = F.interpolate(pooled, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.stem(unpooled).float())


def reconstruct(cue_extractor: CueExtractor, decoder: AutoencoderDecoder, images: Tensor) -> Tensor:
    """Send images through the autoencoder; any size works.

    Args:
        cue_extractor: Whose trunk encodes.
        decoder: What decodes.
        images: ``(B, C, H, W)`` in [0, 1].

    Returns:
        Reconstructed images ``(B, C, H, W)`` in [0, 1].
    """
    padded, padding = pad_to_multiple(images, CUE_STRIDE)
    return padding.crop(decoder(cue_extractor.trunk(padded)))
