"""The network that enhances, alone: what runs and what is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hqgnet.inference.folding import folded
from hqgnet.networks import HqgNetworks, Networks


class EnhancementNetwork(nn.Module):
    """A method's generator with batch normalisation folded, behind one call for all methods.

    Args:
        networks: Trained; not changed.
        bfloat16: Hold the weights of convolutions and linear layers as bfloat16 and compute these layers in
            it. All else, normalisation and the output among it, stays in float32 or takes what comes.
        channels_last: Hold the weights of convolutions in the order that torch is fast in.
    """

    def __init__(self, networks: Networks, *, bfloat16: bool = False, channels_last: bool = True) -> None:
        super().__init__()
        self.generator = folded(networks.generator)
        self._is_guided = isinstance(networks, HqgNetworks)
        self._bfloat16 = bfloat16
        for layer in self.modules():
            if bfloat16 and isinstance(layer, nn.Conv2d | nn.Linear):
                layer.to(torch.bfloat16)
            if channels_last and isinstance(layer, nn.Conv2d):
                layer.weight.data = layer.weight.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor, guidance: Tensor | None = None) -> Tensor:
        """Return enhanced images (B, C, H, W) in [0, 1], float32.

        Args:
            images: ``(B, C, H, W)`` in [0, 1], float32.
            guidance: v_z, ``(B, guidance_dim)``; None for a method that takes none.
        """
        if not self._bfloat16:
            return self._enhanced(images, guidance)
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            return self._enhanced(images, guidance)

    def _enhanced(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        # Every generator ends in float32 and, in evaluation mode, within [0, 1].
        enhanced: Tensor = self.generator(images, guidance) if self._is_guided else self.generator(images)
        return enhanced


def generator_stride(networks: Networks) -> int:
    """Return the pixels of an image a pixel of the generator's coarsest features."""
    stride = networks.generator.stride
    if not isinstance(stride, int):
        raise TypeError(f"{type(networks.generator).__name__} has no stride")
    return stride
