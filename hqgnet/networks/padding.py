"""Images of any size in networks that halve their input: pad to a multiple before, crop after."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """Pixels added on each side of an image."""

    left: int
    right: int
    top: int
    bottom: int

    def crop(self, images: Tensor) -> Tensor:
        """Take the padding off again: ``(B, C, H + top + bottom, W + left + right)`` to ``(B, C, H, W)``."""
        height, width = images.shape[-2:]
        return images[..., self.top : height - self.bottom, self.left : width - self.right]


def pad_to_multiple(images: Tensor, multiple: int) -> tuple[Tensor, Padding]:
    """Enlarge images on all sides so that both sides are multiples of ``multiple``.

    An axis is mirrored where it is long enough for that, else its border pixels are repeated. Mirroring keeps
    the texture at the border natural, which matters because normalisation pools over the whole image.

    Args:
        images: ``(B, C, H, W)`` with H, W >= 1.
        multiple: What height and width must be divisible by.

    Returns:
        The padded images (``images`` itself where nothing is to be added) and what was added.
    """
    height, width = images.shape[-2:]
    left, right = _halves(-width % multiple)
    top, bottom = _halves(-height % multiple)
    if left or right:
        images = F.pad(images, (left, right, 0, 0), mode=_mode(max(left, right), width))
    if top or bottom:
        images = F.pad(images, (0, 0, top, bottom), mode=_mode(max(top, bottom), height))
    return images, Padding(left, right, top, bottom)


def _halves(total: int) -> tuple[int, int]:
    return total // 2, total - total // 2


def _mode(padding: int, length: int) -> str:
    return "reflect" if padding < length else "replicate"
