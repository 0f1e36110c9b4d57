"""Which processor to use."""

from __future__ import annotations

import torch

from hqgnet.errors import ConfigurationError, Problem


def choose_device(wish: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that is there.

    Raises:
        ConfigurationError: If the wish cannot be met.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
    except RuntimeError as error:
        raise ConfigurationError(
            Problem("device", f"{wish!r} is unknown", "Say auto, cpu, cuda or cuda:N")
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        what = f"{wish!r} is not there: {torch.cuda.device_count()} CUDA devices are visible"
        raise ConfigurationError(Problem("device", what, "Say auto or cpu, or install a CUDA build of torch"))
    return device
