"""DICOM files with one image: reading to [0, 1], and writing an enhanced copy (PS3.3 C.7.6.3 and C.11)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from hqgnet.errors import DataError, Problem

FloatImage = NDArray[np.float32]

# They say how stored values are shown. Some writers leave them in without a value, which says nothing.
_OF_SHOWING = (
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
)
# They describe the old pixel values, or show them.
_OF_OLD_PIXELS = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "PresentationLUTShape",
    "IconImageSequence",
)


def is_dicom(path: Path, start: bytes) -> bool:
    """Whether a file is DICOM, by its first 132 bytes or its suffix."""
    return start[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def read_owner(path: Path) -> tuple[str, str] | None:
    """Return PatientID and its issuer from the head of a DICOM file; they never leave the site.

    Returns:
        None if the file is no DICOM, or names no patient.
    """
    with path.open("rb") as file:
        if not is_dicom(path, file.read(132)):
            return None
    keywords = ("PatientID", "IssuerOfPatientID")
    dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(keywords))
    patient, issuer = (str(dataset.get(keyword) or "").strip() for keyword in keywords)
    return (patient, issuer) if patient else None


def read_dicom(path: Path, max_pixels: int) -> tuple[FloatImage, int]:
    """Read a single-frame DICOM image as a radiologist's viewer would show it.

    Grey values go through rescale (or modality table) and then through the file's first window or, failing
    that, its value-of-interest table; without either, the range that the stored bits allow becomes [0, 1]. An
    element without a value counts as absent. MONOCHROME1 is inverted, so that more is brighter. YBR and
    palettes become RGB.

    Args:
        path: DICOM file.
        max_pixels: Refuse larger images before decoding them.

    Returns:
        Image ``(H, W, 1)`` or ``(H, W, 3)`` in [0, 1], and the bits a sample for a result: those stored,
        but at most 16.

    Raises:
        DataError: For several frames, no image, too many pixels, a window or rescale slope that makes no
            picture, or a compression without a decoder. Damaged files raise whatever pydicom raises.
    """
    dataset = pydicom.dcmread(path)
    _check(dataset, path, max_pixels)
    try:
        stored = pixel_array(dataset)
    except (RuntimeError, NotImplementedError) as error:
        syntax = dataset.file_meta.TransferSyntaxUID
        if not syntax.is_compressed:
            raise
        what = f"is compressed as {syntax.name}, for which no decoder is installed, or damaged"
        remedy = "Export it uncompressed, or install pylibjpeg[all]"
        raise DataError(Problem(str(path), what, remedy)) from error
    bits = int(dataset.BitsStored)
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(stored, dataset)
        bits = 8 * coloured.dtype.itemsize
        return (coloured / np.iinfo(coloured.dtype).max).astype(np.float32), min(bits, 16)
    if stored.ndim == 3:
        return (stored / (2**bits - 1)).astype(np.float32), min(bits, 16)
    grey = _windowed(stored, dataset, bits, path)
    if photometric == "MONOCHROME1":
        grey = 1 - grey
    return grey.astype(np.float32)[..., None], min(bits, 16)


def dicom_copy(pixels: FloatImage, source: Path, bits: int) -> bytes:
    """Return ``source`` as DICOM with other pixels: a new instance in a new series, marked as derived.

    Patient and study stay as they are, since the file stays in the hospital. Windows and tables of the old
    values go: the new ones are meant to be shown as they are.

    Args:
        pixels: ``(H, W, 1)`` or ``(H, W, 3)`` in [0, 1].
        source: The file that was enhanced.
        bits: Bits stored a sample, 1 to 16.
    """
    dataset = pydicom.dcmread(source)
    origin = pydicom.Dataset()
    origin.ReferencedSOPClassUID = dataset.get("SOPClassUID", "")
    origin.ReferencedSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    for keyword in _OF_OLD_PIXELS:
        if keyword in dataset:
            delattr(dataset, keyword)
    # Elements are decoded lazily; those of a big-endian file must be before it becomes a little-endian one.
    for _ in dataset.iterall():
        pass
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = np.rint(pixels * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    if whole.shape[2] == 1:
        dataset.set_pixel_data(whole[..., 0], "MONOCHROME2", bits)
    else:
        dataset.set_pixel_data(whole, "RGB", bits)
    # Images of one series, enhanced, are again one series.
    dataset.SeriesInstanceUID = generate_uid(
        entropy_srcs=[str(dataset.get("SeriesInstanceUID", "")), "HQG-Net"]
    )
    dataset.ImageType = ["DERIVED", *list(dataset.get("ImageType") or ["", "SECONDARY"])[1:]]
    dataset.DerivationDescription = "Enhanced by HQG-Net"
    dataset.SourceImageSequence = [origin]
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _check(dataset: pydicom.Dataset, path: Path, max_pixels: int) -> None:
    if "PixelData" not in dataset:
        what, remedy = "is DICOM without an image", "Leave it out of the folder"
    elif int(dataset.get("NumberOfFrames") or 1) > 1:
        what, remedy = f"holds {dataset.NumberOfFrames} frames", "Export one file a frame"
    elif int(dataset.Rows) * int(dataset.Columns) > max_pixels:
        what = f"has {dataset.Columns} x {dataset.Rows} pixels, more than {max_pixels}"
        remedy = "Give a smaller version"
    else:
        return
    raise DataError(Problem(str(path), what, remedy))


def _windowed(stored: NDArray[Any], dataset: pydicom.Dataset, bits: int, path: Path) -> NDArray[np.float64]:
    for keyword in _OF_SHOWING:
        if keyword in dataset and dataset[keyword].is_empty:
            delattr(dataset, keyword)
    if "RescaleSlope" in dataset and not 0 < abs(float(dataset.RescaleSlope)) < np.inf:
        what = f"has a rescale slope of {float(dataset.RescaleSlope):g}, which makes no picture"
        raise DataError(Problem(str(path), what, "Export it again, with slope and intercept or with neither"))
    values = np.asarray(apply_modality_lut(stored, dataset), np.float64)
    if "WindowWidth" in dataset and "WindowCenter" in dataset:
        center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
        if not (np.isfinite(center) and 0 < width < np.inf):
            what = f"has a window of center {center:g} and width {width:g}, which shows nothing"
            raise DataError(Problem(str(path), what, "Export it again, with a window or without one"))
        function = str(dataset.get("VOILUTFunction", "LINEAR"))
        if function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
        if function == "LINEAR":
            center, width = center - 0.5, width - 1
        return np.asarray(np.clip((values - center) / max(width, 1e-6) + 0.5, 0, 1))
    if "VOILUTSequence" in dataset:
        return np.asarray(apply_voi(values.astype(np.int64), dataset) / _table_top(dataset.VOILUTSequence))
    if "ModalityLUTSequence" in dataset:
        return np.asarray(values / _table_top(dataset.ModalityLUTSequence))
    signed = int(dataset.PixelRepresentation) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], np.float64)
    low, high = np.sort(apply_modality_lut(ends, dataset))
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, (list, pydicom.multival.MultiValue)) else value)


def _table_top(sequence: Any) -> float:
    return float(2 ** int(sequence[0].LUTDescriptor[2]) - 1)
