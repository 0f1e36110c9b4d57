"""Which processor to use."""

from __future__ import annotations

import torch

from hqgnet.data.site_config import SiteConfig
from hqgnet.errors import ConfigurationError, Problem

_KINDS = ("cpu", "cuda")


def choose_device(wish: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that is there.

    Raises:
        ConfigurationError: If the wish cannot be met.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
    except RuntimeError:
        device = None
    # torch knows more kinds, on which nothing here has been tried, and "meta", which holds no numbers.
    if device is None or device.type not in _KINDS:
        raise ConfigurationError(Problem("device", f"{wish!r} is unknown", "Say auto, cpu, cuda or cuda:N"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        what = f"{wish!r} is not there: {torch.cuda.device_count()} CUDA devices are visible"
        raise ConfigurationError(Problem("device", what, "Say auto or cpu, or install a CUDA build of torch"))
    return device


def training_devices(config: SiteConfig, first: torch.device) -> tuple[torch.device, ...]:
    """Return what a site trains on: its devices, or the one that was chosen.

    Args:
        config: The site's file.
        first: What :func:`choose_device` made of its ``device``.

    Raises:
        ConfigurationError: If one is not there.
    """
    if not config.devices:
        return (first,)
    return (first, *(choose_device(wish) for wish in config.devices[1:]))


def memory_fraction(config: SiteConfig, device: torch.device) -> float | None:
    """Return which part of a GPU's memory a site's policy lets training take; None for all, and on others."""
    most = config.policy.gpu_memory_gb
    if most is None or device.type != "cuda":
        return None
    return min(1.0, most * 1e9 / torch.cuda.get_device_properties(device).total_memory)
