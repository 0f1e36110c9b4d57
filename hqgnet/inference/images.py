"""Images of any size through a network that has learned one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.data.transforms import resize_longer_side
from hqgnet.inference.runner import Runner
from hqgnet.inference.torch_runner import PlainRunner
from hqgnet.model_file import Model


def enhance_image(model: Model, image: Tensor, guidance: Tensor | None, *, native: bool = False) -> Tensor:
    """Enhance one image by the model's networks as they are; for many, give :func:`enhance_with` a runner.

    Args:
        model: From :func:`hqgnet.model_file.load_model`.
        image: See :func:`enhance_with`, as for ``guidance`` and ``native``.
        guidance: v_z, ``(1, 64)``; None for a method that takes none.
        native: Run the network on the full image.

    Returns:
        Enhanced image, ``(C, H, W)`` in [0, 1], on the CPU.
    """
    return enhance_with(PlainRunner(model), image, guidance, native=native)


@torch.inference_mode()
def enhance_with(runner: Runner, image: Tensor, guidance: Tensor | None, *, native: bool = False) -> Tensor:
    """Enhance one image.

    The network has learned structures at one scale: the experiment's ``image_size``. By default it therefore
    runs on a copy at that size, and the change that it makes is brought to the full image's size and added to
    it, so that its own detail stays.

    Args:
        runner: Runs the network.
        image: ``(C, H, W)`` in [0, 1], C as the runner says.
        guidance: v_z, ``(1, 64)``; None where the runner needs none.
        native: Run the network on the full image instead, whatever its size.

    Returns:
        Enhanced image, ``(C, H, W)`` in [0, 1], on the CPU.
    """
    small = (image if native else resize_longer_side(image, runner.image_size)).unsqueeze(0)
    enhanced = runner.run(small, guidance)
    if small.shape[-2:] == image.shape[-2:]:
        return enhanced[0].clamp(0, 1)
    height, width = image.shape[-2:]
    # Of an image that was enlarged for the network, pixels of the change would be skipped otherwise.
    shrinks = max(height, width) < max(small.shape[-2:])
    change = F.interpolate(
        enhanced - small, size=(height, width), mode="bicubic", align_corners=False, antialias=shrinks
    )
    return (image + change[0]).clamp(0, 1)
