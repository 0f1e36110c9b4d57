"""Full precision inside a loss, whatever the precision of the networks around it."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> Tensor:
    """Return a tensor of half or brain-float numbers as float32; float32 and float64 pass unchanged."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Context in which convolutions on the tensor's device are not lowered to half precision."""
    return torch.autocast(tensor.device.type, enabled=False)
