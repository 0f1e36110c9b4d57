"""bfloat16 where the machine is fast in it and the model's images hardly show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hqgnet.inference.images import enhance_with
from hqgnet.inference.torch_runner import TorchRunner
from hqgnet.model_file import Model

PrecisionWish = Literal["auto", "float32", "bfloat16"]
WORST_PIXEL = 4.0 / 255.0
"""Most that bfloat16 may change one value of the first image: four steps of an 8-bit image."""
MEAN_PIXEL = 0.25 / 255.0
"""Most that it may change the values on the mean: a quarter of a step."""


@dataclass(frozen=True)
class PrecisionError:
    """How far one image enhanced in bfloat16 lies from the same in float32.

    Attributes:
        worst: Largest absolute difference of a value; images are in [0, 1].
        mean: Mean absolute difference.
    """

    worst: float
    mean: float

    @property
    def is_small(self) -> bool:
        """Whether both bounds hold; NaN does not."""
        return self.worst <= WORST_PIXEL and self.mean <= MEAN_PIXEL

    def __str__(self) -> str:
        """In steps of an 8-bit image, as a user reads them."""
        return f"at most {255 * self.worst:.2f}, on the mean {255 * self.mean:.3f} of 255"


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    features: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    # avx512_bf16 and amx_bf16 on x86; ARM has names of its own.
    return any(present is True for name, present in features.items() if name.endswith("bf16"))


def prepared_runner(
    model: Model, wish: PrecisionWish, image: Tensor, guidance: Tensor | None, *, native: bool = False
) -> tuple[TorchRunner, PrecisionError | None]:
    """Return a runner in the precision that is asked for, or for ``auto`` in the one that fits.

    Args:
        model: From its file.
        wish: ``auto`` is bfloat16 where the device is fast in it and the first image's error is small.
        image: The first image, ``(C, H, W)`` in [0, 1].
        guidance: v_z, ``(1, 64)``; None for a method that takes none.
        native: As the image is going to be enhanced.

    Returns:
        The runner, and bfloat16's error on the first image where it was measured: it is not for ``float32``,
        nor for ``auto`` on a device that is not fast in bfloat16.
    """
    device = model.networks.device
    exact = TorchRunner(model, "float32")
    if wish == "float32" or (wish == "auto" and not has_fast_bfloat16(device)):
        return exact, None
    rounded = TorchRunner(model, "bfloat16")
    error = precision_error(exact, rounded, image, guidance, native=native)
    return (rounded if wish == "bfloat16" or error.is_small else exact), error


def precision_error(
    exact: TorchRunner, rounded: TorchRunner, image: Tensor, guidance: Tensor | None, *, native: bool = False
) -> PrecisionError:
    """Compare two runners on one image ``(C, H, W)`` in [0, 1]."""
    expected, seen = (enhance_with(runner, image, guidance, native=native) for runner in (exact, rounded))
    difference = (expected - seen).abs()
    return PrecisionError(float(difference.max()), float(difference.mean()))
