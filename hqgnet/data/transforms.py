"""MONAI dictionary transforms from files to training images, and the resizing that evaluation shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms.compose import Compose
from monai.transforms.spatial.dictionary import RandFlipd
from monai.transforms.transform import MapTransform
from torch import Tensor

from hqgnet.data.reading import Channels, read_image, read_mask

IMAGE, MASK = "image", "mask"


def resize_longer_side(image: Tensor, size: int) -> Tensor:
    """Resize an image ``(C, H, W)`` in [0, 1] so that its longer side is ``size`` pixels.

    Bilinear, with antialiasing; it agrees with Pillow.
    """
    height, width = scaled_shape(image, size)
    if (height, width) == tuple(image.shape[1:]):
        return image
    resized = F.interpolate(
        image.unsqueeze(0), size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0].clamp(0, 1)


def resize_mask(mask: Tensor, size: int) -> Tensor:
    """Resize a mask ``(1, H, W)`` of 0 and 1 as :func:`resize_longer_side` does an image.

    Nearest neighbour at pixel centres: it keeps the share of thin vessels and nerves in the area, which a
    threshold on the averaged mask would wipe out.
    """
    return F.interpolate(mask.unsqueeze(0), size=scaled_shape(mask, size), mode="nearest-exact")[0]


def letterbox(image: Tensor, size: int) -> Tensor:
    """Centre ``(C, H, W)``, neither side above ``size``, on a black square ``(C, size, size)``."""
    height, width = image.shape[1:]
    top, left = (size - height) // 2, (size - width) // 2
    return F.pad(image, (left, size - width - left, top, size - height - top))


def scaled_shape(image: Tensor, size: int) -> tuple[int, int]:
    """Return (height, width) of ``(C, H, W)`` once its longer side is ``size``; at least 1 pixel."""
    height, width = image.shape[1:]
    longer = max(height, width)
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


class ReadImaged(MapTransform):
    """Read the paths under :data:`IMAGE` and, where there is one, :data:`MASK`.

    Args:
        channels: 1 or 3.
    """

    def __init__(self, channels: Channels) -> None:
        super().__init__((IMAGE, MASK), allow_missing_keys=True)
        self._channels = channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with tensors ``(C, H, W)`` and ``(1, H, W)`` in place of paths."""
        read = dict(data)
        for key in self.key_iterator(read):
            read[key] = read_mask(read[key]) if key == MASK else read_image(read[key], self._channels)
        return read


class LetterboxResized(MapTransform):
    """Resize the longer side and pad to a centred square; images averaged, masks by nearest neighbour.

    Args:
        size: Side of the square in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__((IMAGE, MASK), allow_missing_keys=True)
        self._size = size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with tensors ``(C, size, size)`` and ``(1, size, size)``."""
        resized = dict(data)
        for key in self.key_iterator(resized):
            resize = resize_mask if key == MASK else resize_longer_side
            resized[key] = letterbox(resize(resized[key], self._size), self._size)
        return resized


class Stored(MapTransform):
    """Turn images to half precision and masks to bytes, for a cache of half the size.

    Half precision is exact to 1/4096 in [0, 1], finer than an 8-bit camera by far.
    """

    def __init__(self) -> None:
        super().__init__((IMAGE, MASK), allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return ``data`` with smaller types."""
        stored = dict(data)
        for key in self.key_iterator(stored):
            stored[key] = stored[key].to(torch.uint8 if key == MASK else torch.float16)
        return stored


def training_transforms(size: int, channels: Channels) -> Compose:
    """Return what happens once to a training image: read, letterbox to ``size``, store."""
    return Compose([ReadImaged(channels), LetterboxResized(size), Stored()])


class RandomFlips:
    """Flip image and mask alike, left-right and up-down, each with probability 1/2.

    Args:
        seed: Decides the whole sequence of flips, in [0, 2**32).
    """

    def __init__(self, seed: int) -> None:
        keys = (IMAGE, MASK)
        flips = [RandFlipd(keys, prob=0.5, spatial_axis=axis, allow_missing_keys=True) for axis in (1, 0)]
        self._flips = Compose(flips).set_random_state(seed=seed)

    def __call__(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the next sample, flipped or not; tensors ``(C, H, W)``."""
        with untracked():
            return cast(dict[str, Tensor], self._flips(dict(data)))


@contextmanager
def untracked() -> Iterator[None]:
    """Keep MONAI from wrapping tensors in MetaTensor inside: it costs half the speed, for no use."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
