"""The discriminator E_dis: PatchGAN (Section III-A; Isola et al., arXiv 1611.07004)."""

from __future__ import annotations

from torch import Tensor, nn

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.networks.normalization import LEAKY_SLOPE
from hqgnet.presets import DISCRIMINATOR_KERNEL as _KERNEL
from hqgnet.presets import NetworkNumbers

_WIDEST = 8


class Discriminator(nn.Module):
    """PatchGAN: 4x4 convolutions, instance normalisation, LeakyReLU 0.2; one logit a patch.

    Args:
        numbers: Width of the first layer and number of strided layers; 64 and 3 give the 70x70 PatchGAN.
        channels: Image channels C.
    """

    def __init__(self, numbers: NetworkNumbers, channels: int) -> None:
        super().__init__()
        strides = [2] * numbers.discriminator_layers + [1]
        width = numbers.discriminator_width
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, _KERNEL, stride=2, padding=1), nn.LeakyReLU(LEAKY_SLOPE)
        )
        for level, stride in enumerate(strides[1:], start=1):
            wider = numbers.discriminator_width * min(2**level, _WIDEST)
            self.layers.extend(
                [
                    nn.Conv2d(width, wider, _KERNEL, stride=stride, padding=1, bias=False),
                    nn.InstanceNorm2d(wider),
                    nn.LeakyReLU(LEAKY_SLOPE),
                ]
            )
            width = wider
        self.layers.append(nn.Conv2d(width, 1, _KERNEL, padding=1))
        self.receptive_field = numbers.patch_size

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 1, h, w) for images (B, C, H, W) in [0, 1].

        Raises:
            ConfigurationError: If height or width is below the receptive field.
        """
        height, width = images.shape[-2:]
        field = self.receptive_field
        if min(height, width) < field:
            raise ConfigurationError(
                Problem(
                    "image_size",
                    f"the discriminator sees patches of {field} pixels, but images are {width} x {height}",
                    f"Train at {field} pixels or more on the shorter side, or choose a smaller preset",
                )
            )
        logits: Tensor = self.layers(images)
        return logits
