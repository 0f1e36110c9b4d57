"""One reader for all image files: PNG, JPEG, TIFF, BMP and DICOM to tensors in [0, 1].

The policy, the same for every format:

- The kind of file is told by its content, not by its suffix.
- Orientation tags are applied; palettes, CMYK and YCbCr become RGB; colour profiles are ignored.
- Transparent pixels are laid on black, like the surroundings of a field of view.
- Grey becomes RGB by repetition, RGB becomes grey as Rec. 601 luminance (0.299, 0.587, 0.114).
- 8 and 16 bit values are divided by 255 and 65535; nothing is stretched to an image's own range, except that
  DICOM goes through its window (see :mod:`hqgnet.data.dicom`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hqgnet.data.dicom import is_dicom, read_dicom
from hqgnet.data.masks import LabelsError, holds_labels
from hqgnet.data.png16 import read_png16
from hqgnet.data.tiff import NeedsOtherDecoder, read_tiff
from hqgnet.errors import DataError, Problem

Kind = Literal["png", "jpeg", "bmp", "tiff", "dicom"]
Channels = Literal[1, 3]
FloatImage = NDArray[np.float32]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"})
MAX_PIXELS = 80_000_000  # a file of a few kilobytes can claim terabytes; below Pillow's own limit

_PILLOW_KINDS: dict[str, Kind] = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "BMP": "bmp"}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION_TAG = 0x0112
_BITS_TAG, _PHOTOMETRIC_TAG, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_LUMINANCE = (0.299, 0.587, 0.114)
# JPEG of a grey scan has slightly coloured noise; means over an image's pixels stay far below this.
_COLOUR_THRESHOLD = 0.02


@dataclass(frozen=True)
class ImageFormat:
    """How an image is stored, so that a result can be stored likewise.

    Attributes:
        kind: File format, by content.
        bits: Bits a sample: 8, 16 (DICOM: 1 to 16), or 32 for floating point.
        channels: 1 for grey, 3 for RGB (and all that becomes RGB).
        height: In pixels, after the orientation tag was applied.
        width: In pixels, likewise.
        source: The file; DICOM results take patient and study from it.
    """

    kind: Kind
    bits: int
    channels: Channels
    height: int
    width: int
    source: Path


def read_image(path: Path, channels: Channels | None = None) -> Tensor:
    """Read an image.

    Args:
        path: PNG, JPEG, TIFF, BMP or DICOM file with one image.
        channels: 1 or 3; None keeps what the file has.

    Returns:
        ``(C, H, W)``, float32 in [0, 1].

    Raises:
        DataError: Naming the file, if it is missing, may not be read, is damaged, cut short, too large, of an
            unknown kind, holds several frames, or holds NaN or infinity.
    """
    return read_with_format(path, channels)[0]


def read_with_format(path: Path, channels: Channels | None = None) -> tuple[Tensor, ImageFormat]:
    """Read an image and how it is stored; see :func:`read_image`."""
    pixels, described = _decode(path)
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return (image if channels is None else to_channels(image, channels)), described


def describe(path: Path) -> ImageFormat:
    """Return how an image is stored (the file is decoded once for it).

    Raises:
        DataError: As :func:`read_image`.
    """
    return _decode(path)[1]


def read_mask(path: Path) -> Tensor:
    """Read a mask of one structure: foreground is what exceeds half of the file's own largest value.

    So masks of 0 and 1, of 0 and 255, 1-bit masks, palettes on black, and smoothed edges all read alike.
    JPEG, whose empty masks are not quite empty, is compared with half of full white instead.

    Returns:
        ``(1, H, W)``, float32 of 0 and 1; all 0 for an empty mask.

    Raises:
        LabelsError: If it holds several labels (see :func:`hqgnet.data.masks.holds_labels`).
        DataError: As :func:`read_image`.
    """
    pixels, described = _decode(path)
    values, compressed = pixels.max(axis=2), described.kind == "jpeg"
    if holds_labels(values, described.bits, compressed=compressed):
        what = "holds more than two values: several labels, of which some would count as background"
        remedy = "Save one mask of the structure to be segmented: 0 outside, 255 inside"
        raise LabelsError(Problem(str(path), what, remedy))
    largest = 1.0 if compressed else float(values.max())
    return (torch.from_numpy(values) > largest / 2).float().unsqueeze(0)


def to_channels(image: Tensor, channels: Channels) -> Tensor:
    """Turn ``(1 or 3, H, W)`` into ``(channels, H, W)``: grey repeated, RGB to Rec. 601 luminance."""
    if image.shape[0] == channels:
        return image
    if channels == 3:
        return image.repeat(3, 1, 1)
    return torch.einsum("chw,c->hw", image, image.new_tensor(_LUMINANCE)).clamp(0, 1).unsqueeze(0)


def is_coloured(image: Tensor) -> bool:
    """Whether ``(C, H, W)`` really has colours, beyond the noise that JPEG gives a grey scan."""
    return image.shape[0] == 3 and float((image.amax(0) - image.amin(0)).mean()) > _COLOUR_THRESHOLD


def _decode(path: Path) -> tuple[FloatImage, ImageFormat]:
    """Return pixels ``(H, W, C)`` in [0, 1], upright, and their format."""
    try:
        kind, pixels, bits, orientation = _decode_any(path)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise _refused(path, "is missing", "Check the path") from error
    except PermissionError as error:
        remedy = "Give the user that runs this the right to (chmod u+r; of its folder u+x), or the group's"
        raise _refused(path, "may not be read by this user", remedy) from error
    except Exception as error:  # on damaged bytes, decoders fail in every way there is
        what = f"cannot be read as an image ({_short(error)})"
        raise _refused(path, what, "It may be damaged or cut short; export or copy it again") from error
    # Here for all formats: floating point can hold it, and DICOM's tables and scales can make it.
    if not np.isfinite(pixels).all():
        raise _refused(path, "holds NaN or infinity", "Correct or remove the image")
    pixels = _upright(pixels, orientation)
    height, width, channels = pixels.shape
    return pixels, ImageFormat(kind, bits, cast(Channels, channels), height, width, path)


def _decode_any(path: Path) -> tuple[Kind, FloatImage, int, int]:
    with path.open("rb") as file:
        start = file.read(132)
    if not start:
        raise _refused(path, "is empty", "Export or copy it again")
    if is_dicom(path, start):
        pixels, bits = read_dicom(path, MAX_PIXELS)
        return "dicom", pixels, bits, 1
    if start.startswith(_TIFF_STARTS):
        try:
            pixels, bits, orientation = read_tiff(path, MAX_PIXELS)
        except NeedsOtherDecoder as error:
            return "tiff", *_decode_compressed_tiff(path, str(error))
        return "tiff", pixels, bits, orientation
    return _decode_with_pillow(path)


def _decode_with_pillow(path: Path) -> tuple[Kind, FloatImage, int, int]:
    with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
        _check_size(image, path)
        if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise _refused(path, "holds several frames", "Save one file a frame")
        kind = _PILLOW_KINDS[str(image.format)]
        colours_of_16_bits = (
            kind == "png" and image.mode != "I;16" and str(image.tile[0].args).endswith(";16B")
        )
        image.load()
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
        if colours_of_16_bits:
            samples = (read_png16(path) / 65535).astype(np.float32)
            return kind, _on_black(samples), 16, orientation
        return kind, *_pillow_pixels(image), orientation


def _decode_compressed_tiff(path: Path, compression: str) -> tuple[FloatImage, int, int]:
    with Image.open(path, formats=("TIFF",)) as image:
        _check_size(image, path)
        tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]
        bits = max(tags.get(_BITS_TAG, (1,)))
        if image.mode not in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16") or (
            image.mode != "I;16" and bits > 8
        ):
            what = f"is compressed with {compression} in a form that cannot be read"
            raise _refused(path, what, "Save it uncompressed or with deflate (zip)")
        image.load()
        # Pillow has turned the pixels already where the file asks for it, and dropped the tag.
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
        if image.mode != "I;16":
            return *_pillow_pixels(image), orientation
        # Of 9 to 16 bits Pillow gives the values as they are stored.
        grey = np.asarray(image, np.float32) / np.float32(2**bits - 1)
        if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:
            grey = 1 - grey
        return grey[..., None], 16, orientation


def _pillow_pixels(image: Image.Image) -> tuple[FloatImage, int]:
    if image.mode.startswith("I"):
        return (np.asarray(image, np.float32) / np.float32(65535))[..., None], 16
    grey = image.mode in ("1", "L", "LA")
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    mode = ("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB")
    samples = np.asarray(image.convert(mode), np.float32) / np.float32(255)
    return (_on_black(samples) if transparent else samples.reshape(*samples.shape[:2], -1)), 8


def _on_black(samples: FloatImage) -> FloatImage:
    """Lay ``(H, W, 2 or 4)`` on black by its last channel; without alpha, return as is."""
    return samples[..., :-1] * samples[..., -1:] if samples.shape[2] in (2, 4) else samples


def _upright(pixels: FloatImage, orientation: int) -> FloatImage:
    """Apply an EXIF / TIFF orientation, 1 to 8, to ``(H, W, C)``."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _check_size(image: Image.Image, path: Path) -> None:
    if image.width * image.height > MAX_PIXELS:
        what = f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS}"
        raise _refused(path, what, "Give a smaller version")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."


def _refused(path: Path, what: str, remedy: str) -> DataError:
    return DataError(Problem(str(path), what, remedy))
