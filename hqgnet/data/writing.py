"""Writing images, in the format of the image they come from, and never half of one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from hqgnet.data.dicom import dicom_copy
from hqgnet.data.png16 import png16_bytes
from hqgnet.data.reading import FloatImage, ImageFormat, to_channels
from hqgnet.data.tiff import tiff_bytes
from hqgnet.files import make_folder, write_atomically

_JPEG_QUALITY = 95


def write_image(path: Path, image: Tensor, like: ImageFormat) -> None:
    """Write an image with the format, bit depth and channels of another.

    JPEG is written at quality 95 without chroma subsampling. DICOM takes patient and study from the file that
    ``like`` describes and becomes a new, derived instance (see :func:`hqgnet.data.dicom.dicom_copy`).

    Args:
        path: The suffix is the caller's; the content follows ``like``. Missing folders are made.
        image: ``(1 or 3, H, W)`` in [0, 1] (clipped to it), of the size of ``like``.
        like: From :func:`hqgnet.data.reading.describe`.

    Raises:
        ValueError: If the image is of another size, or holds NaN or infinity.
        OutputError: If the file cannot be written.
    """
    if tuple(image.shape[1:]) != (like.height, like.width):
        raise ValueError(f"image is {tuple(image.shape[1:])}, its original ({like.height}, {like.width})")
    pixels = _pixels(to_channels(image, like.channels))
    if like.kind == "dicom":
        data = dicom_copy(pixels, like.source, like.bits)
    elif like.kind == "tiff":
        data = tiff_bytes(pixels, like.bits)
    elif like.kind == "png" and like.bits == 16 and like.channels == 3:
        data = png16_bytes(np.rint(pixels * 65535).astype(np.uint16))
    else:
        data = _pillow_bytes(pixels, like)
    _write(path, data)


def write_png(path: Path, image: Tensor) -> None:
    """Write ``(1 or 3, H, W)`` in [0, 1] (clipped to it) as an 8-bit PNG for its owner alone.

    Pictures are of patients, for the site's own folder; results for a user are :func:`write_image`'s.

    Raises:
        ValueError: If the image holds NaN or infinity.
        OutputError: If the file cannot be written.
    """
    pixels = _pixels(image)
    height, width, channels = pixels.shape
    like = ImageFormat("png", 8, 1 if channels == 1 else 3, height, width, path)
    _write(path, _pillow_bytes(pixels, like), mode=0o600)


def _write(path: Path, data: bytes, *, mode: int | None = None) -> None:
    make_folder(path.parent)
    write_atomically(path, data, mode=mode)


def _pixels(image: Tensor) -> FloatImage:
    """Return ``(C, H, W)`` as ``(H, W, C)``, clipped to [0, 1]."""
    pixels: FloatImage = image.detach().float().cpu().numpy().transpose(1, 2, 0)
    if not np.isfinite(pixels).all():
        raise ValueError("image holds NaN or infinity")
    return np.ascontiguousarray(np.clip(pixels, 0, 1))


def _pillow_bytes(pixels: FloatImage, like: ImageFormat) -> bytes:
    depth = np.uint16 if like.bits == 16 else np.uint8
    samples = np.rint(pixels * np.iinfo(depth).max).astype(depth)
    picture = Image.fromarray(samples[..., 0] if like.channels == 1 else samples)
    buffer = BytesIO()
    if like.kind == "jpeg":
        picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        picture.save(buffer, like.kind.upper())
    return buffer.getvalue()
