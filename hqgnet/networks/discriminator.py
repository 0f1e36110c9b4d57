"""The discriminator E_dis: PatchGAN (Section III-A; Isola et al., arXiv 1611.07004)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.networks.normalization import LEAKY_SLOPE
from hqgnet.presets import DISCRIMINATOR_KERNEL as _KERNEL
from hqgnet.presets import NetworkNumbers

_WIDEST = 8


class Discriminator(nn.Module):
    """PatchGAN: 4x4 convolutions, normalisation, LeakyReLU 0.2; one logit a patch.

    Instance normalisation takes the mean of every feature map away, and with it nearly all of an image's mean
    colour. Spectral normalisation (arXiv 1802.05957) divides each layer's weights by their largest singular
    value instead: colour is seen, and the slope of the logits is bounded (decision 0020).

    Args:
        numbers: Width of the first layer, number of strided layers and kind of normalisation; 64, 3 and
            ``instance`` give the 70x70 PatchGAN.
        channels: Image channels C.
    """

    def __init__(self, numbers: NetworkNumbers, channels: int) -> None:
        super().__init__()
        strides = [2] * numbers.discriminator_layers + [1]
        width = numbers.discriminator_width
        by_instance = numbers.discriminator_normalization == "instance"
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, _KERNEL, stride=2, padding=1), nn.LeakyReLU(LEAKY_SLOPE)
        )
        for level, stride in enumerate(strides[1:], start=1):
            wider = numbers.discriminator_width * min(2**level, _WIDEST)
            self.layers.append(nn.Conv2d(width, wider, _KERNEL, stride, padding=1, bias=not by_instance))
            if by_instance:
                self.layers.append(nn.InstanceNorm2d(wider))
            self.layers.append(nn.LeakyReLU(LEAKY_SLOPE))
            width = wider
        self.layers.append(nn.Conv2d(width, 1, _KERNEL, padding=1))
        if not by_instance:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)
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
