"""What is noted of every image, mask and twin in the one pass in which it is decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hqgnet.data.reading import is_coloured


@dataclass(frozen=True)
class Observation:
    """One file that can be read.

    Attributes:
        digest: SHA-256 of size and pixels: equal for equal images, whatever their format and name.
        height: In pixels.
        width: In pixels.
        coloured: Whether it really has colours.
        lowest: Its smallest value in [0, 1]; of a mask 0 or 1.
        highest: Its largest value.
    """

    digest: bytes
    height: int
    width: int
    coloured: bool
    lowest: float
    highest: float

    @property
    def uniform(self) -> bool:
        """Whether all pixels are alike: an empty picture, or an empty or full mask."""
        return self.lowest == self.highest


def observe(seen: dict[Path, Observation], path: Path, pixels: Tensor) -> None:
    """Note in ``seen`` what ``(C, H, W)`` in [0, 1] shows; see ``SiteData.open``."""
    seen[path] = Observation(
        digest=_digest(pixels),
        height=pixels.shape[1],
        width=pixels.shape[2],
        coloured=is_coloured(pixels),
        lowest=float(pixels.min()),
        highest=float(pixels.max()),
    )


def _digest(pixels: Tensor) -> bytes:
    """A grey image saved as RGB is still the same image, so equal channels count once."""
    if pixels.shape[0] == 3 and bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all()):
        pixels = pixels[:1]
    digest = hashlib.sha256(repr(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().numpy().data)
    return digest.digest()
