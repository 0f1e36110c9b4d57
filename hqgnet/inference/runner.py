"""What runs an enhancement network, whatever it runs on: torch, ONNX Runtime or OpenVINO."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Runner(Protocol):
    """An enhancement network, ready for use."""

    @property
    def channels(self) -> int:
        """Image channels C."""
        ...

    @property
    def image_size(self) -> int:
        """Longer side, in pixels, of the images that it was trained on."""
        ...

    def run(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        """Enhance one image.

        Args:
            images: ``(1, C, H, W)`` in [0, 1], float32, on the CPU.
            guidance: v_z, ``(1, guidance_dim)``; None where the runner needs none, or has its own.

        Returns:
            ``(1, C, H, W)`` in [0, 1], float32, on the CPU.
        """
        ...
