"""Pictures inside a page: data URIs of images and of see-through overlays."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from torch import Tensor

from hqgnet.data.transforms import resize_longer_side, resize_mask
from hqgnet.evaluation import Judged

LARGEST_SIDE = 512
"""Pixels; larger images are shown smaller."""

_LOSSLESS_SIDE = 256
_JPEG_QUALITY = 95
_MASK_COLOUR = (0, 200, 255)
_PREDICTION_COLOUR = (255, 235, 40)
_THRESHOLD = 0.5


@dataclass(frozen=True)
class Pictures:
    """Data URIs of one case; what does not exist is None.

    Attributes:
        width: Pixels.
        height: Pixels.
        original: The image as it came.
        enhanced: The model's output.
        mask: See-through overlay of the mask.
        prediction_original: See-through overlay of the downstream prediction on the original image.
        prediction_enhanced: Likewise on the enhanced one.
    """

    width: int
    height: int
    original: str
    enhanced: str
    mask: str | None
    prediction_original: str | None
    prediction_enhanced: str | None


def draw(judged: Judged) -> Pictures:
    """Return the pictures of a judged image, at most 512 pixels a side."""
    item, probability = judged.item, judged.probability
    original, enhanced = _fitting(item.lq), _fitting(judged.enhanced[0])
    height, width = original.shape[-2:]
    return Pictures(
        width,
        height,
        _picture(original),
        _picture(enhanced),
        None if item.mask is None else _overlay(item.mask, _MASK_COLOUR),
        _overlay(probability["original"][0], _PREDICTION_COLOUR) if "original" in probability else None,
        _overlay(probability["enhanced"][0], _PREDICTION_COLOUR) if "enhanced" in probability else None,
    )


def _fitting(image: Tensor) -> Tensor:
    return resize_longer_side(image, LARGEST_SIDE) if max(image.shape[-2:]) > LARGEST_SIDE else image


def _picture(image: Tensor) -> str:
    """A data URI of ``(C, H, W)`` in [0, 1]: PNG where it is small, JPEG otherwise."""
    samples = image.nan_to_num().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    if max(picture.size) <= _LOSSLESS_SIDE:
        return _uri(picture, "png", optimize=True)
    return _uri(picture, "jpeg", quality=_JPEG_QUALITY, subsampling=0)


def _overlay(values: Tensor, colour: tuple[int, int, int]) -> str:
    """A data URI of ``(1, H, W)``: one colour from 0.5 up, nothing elsewhere."""
    region = (values > _THRESHOLD).float()
    small = resize_mask(region, LARGEST_SIDE) if max(region.shape[-2:]) > LARGEST_SIDE else region
    picture = Image.fromarray((small[0].numpy() > _THRESHOLD).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *colour])
    return _uri(picture, "png", transparency=0, bits=1, optimize=True)


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = BytesIO()
    picture.save(buffer, kind.upper(), **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
