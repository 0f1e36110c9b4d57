from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from hqgnet.data.reading import describe, read_image
from hqgnet.data.writing import write_image
from hqgnet.errors import DataError

STORED = np.array([[0, 100, 200], [400, 2048, 4095]], np.uint16)


def write_dicom(
    path: Path, samples: np.ndarray, *, syntax: Any = ExplicitVRLittleEndian, **elements: Any
) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2.4"
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "0815"
    dataset.Rows, dataset.Columns = samples.shape[1:] if "NumberOfFrames" in elements else samples.shape[:2]
    dataset.SamplesPerPixel = 3 if samples.shape[-1] == 3 and samples.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * samples.dtype.itemsize
    dataset.BitsStored = 12 if dataset.BitsAllocated == 16 else 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 1 if samples.dtype.kind == "i" else 0
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def read(path: Path) -> np.ndarray:
    return read_image(path)[0].numpy()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_window_the_stored_bits_are_the_range(tmp_path: Path, syntax: Any) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, syntax=syntax)
    np.testing.assert_allclose(read(path), STORED / 4095, atol=1e-6)
    assert (describe(path).kind, describe(path).bits, describe(path).channels) == ("dicom", 12, 1)


def test_signed_values_and_negative_slope(tmp_path: Path) -> None:
    stored = np.array([[-2048, 0, 2047]], np.int16)
    np.testing.assert_allclose(
        read(write_dicom(tmp_path / "a.dcm", stored)), [[0, 2048 / 4095, 1]], atol=1e-6
    )
    path = write_dicom(tmp_path / "b.dcm", stored, RescaleSlope="-2", RescaleIntercept="7")
    np.testing.assert_allclose(read(path), [[1, 1 - 2048 / 4095, 0]], atol=1e-6)


def test_linear_window_after_rescale(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        STORED,
        RescaleSlope="2",
        RescaleIntercept="-100",
        WindowCenter=["300", "9"],
        WindowWidth=["401", "9"],
    )
    # PS3.3 C.11.2.1.2.1 by hand: values are -100, 100, 300, 700 and more; black up to 99.5, white from 499.5.
    expected = [[0, 0.5 / 400, 200.5 / 400], [1, 1, 1]]
    np.testing.assert_allclose(read(path), expected, atol=1e-6)


def test_other_window_functions(tmp_path: Path) -> None:
    window = {"WindowCenter": "200", "WindowWidth": "400"}
    path = write_dicom(tmp_path / "a.dcm", STORED, VOILUTFunction="LINEAR_EXACT", **window)
    np.testing.assert_allclose(read(path), [[0, 0.25, 0.5], [1, 1, 1]], atol=1e-6)
    path = write_dicom(tmp_path / "b.dcm", STORED, VOILUTFunction="SIGMOID", **window)
    np.testing.assert_allclose(read(path)[0], [1 / (1 + np.e**2), 1 / (1 + np.e), 0.5], atol=1e-6)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": "300", "WindowWidth": None},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"VOILUTSequence": [], "ModalityLUTSequence": []},
    ],
)
def test_elements_without_a_value_count_as_absent(tmp_path: Path, elements: dict[str, Any]) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, **elements)
    np.testing.assert_allclose(read(path), STORED / 4095, atol=1e-6)


def test_a_window_function_without_a_value_is_linear(tmp_path: Path) -> None:
    window = {"WindowCenter": "200", "WindowWidth": "401"}
    images = [
        read(write_dicom(tmp_path / f"{name}.dcm", STORED, **window, **function))
        for name, function in (("empty", {"VOILUTFunction": ""}), ("absent", {}))
    ]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize(
    ("elements", "says"),
    [
        ({"RescaleSlope": "0", "RescaleIntercept": "5"}, "rescale slope of 0"),
        (
            {"RescaleSlope": "0", "RescaleIntercept": "5", "WindowCenter": "9", "WindowWidth": "9"},
            "slope of 0",
        ),
        ({"RescaleSlope": "nan", "RescaleIntercept": "5"}, "rescale slope of nan"),
        ({"RescaleSlope": "1", "RescaleIntercept": "nan"}, "NaN or infinity"),
        ({"WindowCenter": "200", "WindowWidth": "0"}, "center 200 and width 0"),
        ({"WindowCenter": "200", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"}, "center 200 and width 0"),
        ({"WindowCenter": "200", "WindowWidth": "0", "VOILUTFunction": "LINEAR_EXACT"}, "and width 0"),
        ({"WindowCenter": "200", "WindowWidth": "-400"}, "center 200 and width -400"),
        ({"WindowCenter": "nan", "WindowWidth": "400"}, "center nan and width 400"),
        ({"WindowCenter": "200", "WindowWidth": "nan"}, "center 200 and width nan"),
        ({"WindowCenter": "200", "WindowWidth": "inf", "VOILUTFunction": "SIGMOID"}, "and width inf"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numbers_that_make_no_picture_are_refused_in_words(
    tmp_path: Path, elements: dict[str, str], says: str
) -> None:
    in_the_files_order = ("WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope")
    numbers = [keyword for keyword in in_the_files_order if keyword in elements]
    path = write_dicom(tmp_path / "a.dcm", STORED, **elements | dict.fromkeys(numbers, "1234567"))
    # pydicom itself writes no "nan".
    data = path.read_bytes()
    for keyword in numbers:
        data = data.replace(b"1234567 ", elements[keyword].ljust(8).encode(), 1)
    path.write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        read_image(path)
    (problem,) = caught.value.problems
    assert problem.where == str(path) and problem.remedy
    assert "damaged" not in problem.remedy


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read(path), 1 - STORED / 4095, atol=1e-6)


def test_colour_and_lossless_compression(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "a.dcm", samples)
    np.testing.assert_allclose(read_image(path).numpy().transpose(1, 2, 0), samples / 255, atol=1e-6)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    assert torch.equal(read_image(tmp_path / "rle.dcm"), read_image(path))


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    red = np.broadcast_to(np.array([76, 85, 255], np.uint8), (4, 4, 3))  # pure red in YBR_FULL
    path = write_dicom(tmp_path / "a.dcm", red, PhotometricInterpretation="YBR_FULL")
    assert read_image(path).mean(dim=(1, 2)).tolist() == pytest.approx([1, 0, 0], abs=0.01)


def test_refusals_name_file_and_remedy(tmp_path: Path) -> None:
    frames = write_dicom(tmp_path / "frames.dcm", np.zeros((2, 4, 4), np.uint8), NumberOfFrames=2)
    compressed = write_dicom(tmp_path / "jls.dcm", np.zeros((4, 4), np.uint8))
    dataset = pydicom.dcmread(compressed)
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xf7" + b"\0" * 20])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    dataset.save_as(compressed)
    report = write_dicom(tmp_path / "report.dcm", np.zeros((4, 4), np.uint8))
    dataset = pydicom.dcmread(report)
    del dataset.PixelData
    dataset.save_as(report)
    huge = write_dicom(tmp_path / "huge.dcm", np.zeros((4, 4), np.uint8), Rows=60000, Columns=60000)
    cut = write_dicom(tmp_path / "cut.dcm", np.zeros((64, 64), np.uint8))
    cut.write_bytes(cut.read_bytes()[:-2000])
    (tmp_path / "text.dcm").write_text("no DICOM")
    for path, says in (
        (frames, "2 frames"),
        (compressed, "no decoder"),
        (report, "without an image"),
        (huge, "more than"),
        (cut, "cannot be read"),
        (tmp_path / "text.dcm", "cannot be read"),
    ):
        with pytest.raises(DataError, match=says) as caught:
            read_image(path)
        assert caught.value.problems[0].where == str(path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_enhanced_dicom_is_a_derived_copy(tmp_path: Path, syntax: Any) -> None:
    source = write_dicom(
        tmp_path / "a.dcm",
        STORED,
        syntax=syntax,
        WindowCenter="300",
        WindowWidth="401",
        RescaleSlope="2",
        RescaleIntercept="-100",
        PhotometricInterpretation="MONOCHROME1",
        ImageType=["ORIGINAL", "PRIMARY"],
    )
    enhanced = torch.rand(1, 2, 3)
    write_image(tmp_path / "b.dcm", enhanced, describe(source))
    np.testing.assert_allclose(read(tmp_path / "b.dcm"), enhanced[0].numpy(), atol=0.51 / 4095)
    old, new = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "b.dcm")
    assert new.SOPInstanceUID != old.SOPInstanceUID
    assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    assert (new.PatientID, new.StudyInstanceUID) == (old.PatientID, old.StudyInstanceUID)
    assert list(new.ImageType) == ["DERIVED", "PRIMARY"]
    assert new.BitsStored == 12
    assert "WindowCenter" not in new
    assert describe(tmp_path / "b.dcm").bits == describe(source).bits


def test_enhanced_colour_dicom(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    source = write_dicom(tmp_path / "a.dcm", samples)
    write_image(tmp_path / "b.dcm", read_image(source), describe(source))
    assert torch.equal(read_image(tmp_path / "b.dcm"), read_image(source))


def test_32_bit_dicom_is_written_with_16(tmp_path: Path) -> None:
    stored = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    source = write_dicom(tmp_path / "a.dcm", stored, BitsStored=32, HighBit=31)
    np.testing.assert_allclose(read(source), [[0, 0.5, 1]], atol=1e-6)
    write_image(tmp_path / "b.dcm", read_image(source), describe(source))
    np.testing.assert_allclose(read(tmp_path / "b.dcm"), [[0, 0.5, 1]], atol=1e-5)
    assert pydicom.dcmread(tmp_path / "b.dcm").BitsStored == 16
