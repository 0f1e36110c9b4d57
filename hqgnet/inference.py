"""Using a trained model on images of any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.data.transforms import resize_longer_side
from hqgnet.model_file import Model


@torch.inference_mode()
def enhance_image(model: Model, image: Tensor, guidance: Tensor, *, native: bool = False) -> Tensor:
    """Enhance one image.

    The network has learned structures at one scale: the experiment's ``image_size``. By default it therefore
    runs on a copy at that size, and the change that it makes is enlarged and added to the full image, whose
    own detail stays.

    Args:
        model: From :func:`hqgnet.model_file.load_model`.
        image: ``(C, H, W)`` in [0, 1], C as the model's experiment says.
        guidance: v_z, ``(1, 64)``.
        native: Run the network on the full image instead, whatever its size.

    Returns:
        Enhanced image, ``(C, H, W)`` in [0, 1], on the CPU.
    """
    small = image if native else resize_longer_side(image, model.experiment.image_size)
    batch = small.unsqueeze(0).to(guidance.device)
    enhanced: Tensor = model.networks.generator(batch, guidance).float().cpu()
    if small.shape == image.shape:
        return enhanced[0].clamp(0, 1)
    change = F.interpolate(
        enhanced - small.unsqueeze(0), size=image.shape[-2:], mode="bicubic", align_corners=False
    )
    return (image + change[0]).clamp(0, 1)
