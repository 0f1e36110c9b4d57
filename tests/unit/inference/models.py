"""Models whose statistics and weights are not those of a fresh network, for tests of inference."""

from __future__ import annotations

import torch
from torch import nn

from hqgnet.config import Experiment
from hqgnet.model_file import Model
from hqgnet.networks import networks_of


def lively_model(experiment: Experiment, *, seed: int = 5) -> Model:
    """Return a model whose batch normalisation, guidance and last layer all matter to its images."""
    networks = networks_of(experiment, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)

    def like(tensor: torch.Tensor) -> torch.Tensor:
        return torch.rand(tensor.shape, generator=generator)

    with torch.no_grad():
        for layer in networks.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
                assert layer.running_var is not None
                layer.running_mean.copy_(like(layer.running_mean) - 0.5)
                layer.running_var.copy_(0.5 + like(layer.running_var))
                layer.weight.copy_(0.5 + like(layer.weight))
                layer.bias.copy_(like(layer.bias) - 0.5)
        networks.generator.last.weight.copy_(0.02 * (like(networks.generator.last.weight) - 0.5))
    guidance = torch.rand(1, networks.guidance_size, generator=generator) if networks.guidance_size else None
    return Model(networks, experiment, guidance, {})


def smooth_image(height: int, width: int, *, seed: int = 0, channels: int = 3) -> torch.Tensor:
    """Return an image (1, C, H, W) in [0, 1] with structure at several scales."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, channels, height, width)
    for cells, strength in ((3, 0.6), (12, 0.3), (48, 0.1)):
        coarse = torch.rand(1, channels, cells, cells, generator=generator)
        image += strength * nn.functional.interpolate(
            coarse, size=(height, width), mode="bicubic", align_corners=False
        )
    return image.clamp(0.0, 1.0)
