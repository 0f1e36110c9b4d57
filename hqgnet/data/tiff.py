"""TIFF files with one image: 1, 8 and 16 bits or floating point, grey, RGB, palette or CMYK (TIFF 6.0)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from hqgnet.errors import DataError, Problem

FloatImage = NDArray[np.float32]
_UNASSOCIATED_ALPHA = 2


class NeedsOtherDecoder(Exception):
    """The compression, or packing of bits, is one that tifffile does not decode by itself."""


def read_tiff(path: Path, max_pixels: int) -> tuple[FloatImage, int, int]:
    """Read the image of a TIFF file; its values are not yet rotated as the orientation tag says.

    Args:
        path: TIFF file.
        max_pixels: Refuse larger images before decoding them.

    Returns:
        Image ``(H, W, 1)`` or ``(H, W, 3)`` in [0, 1], bits a sample (8, 16, or 32 for floating point), and
        the orientation tag.

    Raises:
        DataError: For several frames, too many pixels, NaN or infinity, or values that have no scale.
        NeedsOtherDecoder: For LZW, JPEG and other compressions, and 12 bits, that Pillow may know.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        if _several_frames(file):
            raise _refused(path, "holds several frames", "Save one file a frame")
        if page.imagelength * page.imagewidth > max_pixels:
            what = f"has {page.imagewidth} x {page.imagelength} pixels, more than {max_pixels}"
            raise _refused(path, what, "Give a smaller version")
        try:
            samples = page.asarray()
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" in str(error):
                raise NeedsOtherDecoder(getattr(page.compression, "name", "")) from error
            raise
        orientation = page.tags.valueof("Orientation", 1)
        if page.axes == "SYX":
            samples = np.moveaxis(samples, 0, -1)
        elif page.axes == "YX":
            samples = samples[..., None]
        elif page.axes != "YXS":
            raise _refused(path, f"has axes {page.axes}", "Save it as a flat image")
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            coloured = np.moveaxis(page.colormap, 0, -1)[samples[..., 0]]
            return (coloured / 65535).astype(np.float32), 8, int(orientation)
        image, bits = _scaled(samples, page.bitspersample, path)
        return _grey_or_rgb(image, page, path), bits, int(orientation)


def _several_frames(file: tifffile.TiffFile) -> bool:
    """Whether there is more than one picture; smaller copies of it, marked as such, are none."""
    first = file.pages.first
    frames = sum(not (isinstance(page, tifffile.TiffPage) and page.is_reduced) for page in file.pages)
    in_first = file.series[0].size > first.size if file.series else False
    return frames > 1 or in_first or (first.is_reduced and len(file.pages) > 1)


def tiff_bytes(image: FloatImage, bits: int) -> bytes:
    """Return ``(H, W, 1)`` or ``(H, W, 3)`` in [0, 1] as a TIFF file with 8, 16, or 32 (float) bits."""
    samples = (
        image if bits == 32 else np.rint(image * (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)
    )
    grey = samples.shape[2] == 1
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        samples[..., 0] if grey else samples,
        photometric="minisblack" if grey else "rgb",
        compression="zlib",
        metadata=None,
    )
    return buffer.getvalue()


def _scaled(samples: NDArray[np.generic], bits_stored: int, path: Path) -> tuple[FloatImage, int]:
    kind = samples.dtype.kind
    if kind == "b":
        return samples.astype(np.float32), 8
    if kind == "u" and samples.dtype.itemsize <= 2:
        return (samples / (2**bits_stored - 1)).astype(np.float32), 8 * samples.dtype.itemsize
    if kind != "f":
        raise _refused(path, f"has samples of type {samples.dtype}", "Save it with 8 or 16 bits, unsigned")
    values = samples.astype(np.float32)
    if not np.isfinite(values).all():
        raise _refused(path, "holds NaN or infinity", "Correct or remove the image")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        what = f"is floating point with values from {low:g} to {high:g}"
        raise _refused(path, what, "Scale it to 0 ... 1, or save it with 8 or 16 bits")
    return values, 32


def _grey_or_rgb(image: FloatImage, page: tifffile.TiffPage, path: Path) -> FloatImage:
    photometric = page.photometric
    if photometric == tifffile.PHOTOMETRIC.SEPARATED and image.shape[2] >= 4:
        return (1 - image[..., :3]) * (1 - image[..., 3:4])
    wanted = 3 if photometric == tifffile.PHOTOMETRIC.RGB else 1
    known = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    if photometric not in known or image.shape[2] < wanted:
        name = getattr(photometric, "name", str(photometric))
        raise _refused(path, f"has colours of kind {name}", "Save it as grey or RGB")
    colours, extra = image[..., :wanted], image[..., wanted:]
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        colours = 1 - colours
    if extra.shape[2] and page.extrasamples and page.extrasamples[0] == _UNASSOCIATED_ALPHA:
        colours = colours * extra[..., :1]
    return colours


def _refused(path: Path, what: str, remedy: str) -> DataError:
    return DataError(Problem(str(path), what, remedy))
