"""TIFF files: kinds of samples, several frames, and what Pillow decodes in tifffile's place."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hqgnet.data.reading import describe, read_image
from hqgnet.errors import DataError
from tests.unit.data.test_reading import GREY, GREY16, RGB, RGB16, expect


def test_tiff_variants(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB16, photometric="rgb", compression="zlib")
    expect(path, RGB16, 65535)
    tifffile.imwrite(path, RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    expect(path, RGB, 255)
    tifffile.imwrite(path, GREY, photometric="miniswhite")
    expect(path, 255 - GREY, 255)
    tifffile.imwrite(path, (GREY / 255).astype(np.float32))
    expect(path, GREY, 255)
    assert describe(path).bits == 32
    colours = np.random.default_rng(5).integers(0, 65536, (3, 256), dtype=np.uint16)
    tifffile.imwrite(path, GREY, photometric="palette", colormap=colours)
    expect(path, colours.T[GREY], 65535)
    Image.fromarray(GREY > 127).save(path)
    expect(path, GREY > 127, 1)
    cmyk = np.random.default_rng(6).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    tifffile.imwrite(path, cmyk, photometric="separated")
    expect(path, (1 - cmyk[..., :3] / 255) * (1 - cmyk[..., 3:] / 255), 1)
    tifffile.imwrite(path, np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unassalpha"])
    expect(path, RGB / 255 * (GREY[..., None] / 255), 1)


@pytest.mark.parametrize("samples", [RGB, GREY, GREY16], ids=["rgb", "grey", "grey16"])
def test_lzw_tiff_reads_without_extra_codecs(tmp_path: Path, samples: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(samples).save(path, compression="tiff_lzw")
    expect(path, samples, 65535 if samples.dtype == np.uint16 else 255)


def lzw(data: bytes) -> bytes:
    """Compress by TIFF 6.0, section 13, with codes of 9 bits alone: the table is cleared before it grows."""
    codes = [code for at in range(0, len(data), 200) for code in (256, *data[at : at + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def grey_tiff(path: Path, shape: tuple[int, int], strip: bytes, bits: int, compression: int) -> None:
    tags = ((256, shape[1]), (257, shape[0]), (258, bits), (259, compression), (262, 1), (273, 8), (277, 1))
    tags += ((278, shape[0]), (279, len(strip)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(struct.pack("<4sI", b"II*\0", 8 + len(strip)) + strip + directory)


@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
def test_16_bit_lzw_tiff_is_inverted_where_white_is_zero(tmp_path: Path, photometric: int) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(GREY16).save(path, compression="tiff_lzw", tiffinfo={262: photometric})
    assert tifffile.TiffFile(path).pages.first.photometric == photometric
    expect(path, GREY16 if photometric else 65535 - GREY16, 65535)
    assert describe(path).bits == 16


@pytest.mark.parametrize("compression", [1, 5], ids=["none", "lzw"])
def test_12_bit_tiff_keeps_its_scale(tmp_path: Path, compression: int) -> None:
    samples = np.random.default_rng(7).integers(0, 4096, (5, 8), dtype=np.uint16)
    first, second = samples[:, ::2].astype(int), samples[:, 1::2].astype(int)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    strip = packed.astype(np.uint8).tobytes()
    grey_tiff(tmp_path / "a.tif", samples.shape, lzw(strip) if compression == 5 else strip, 12, compression)
    expect(tmp_path / "a.tif", samples, 4095)
    assert describe(tmp_path / "a.tif").bits == 16


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("second", [GREY[:3], RGB, GREY16], ids=["smaller", "colours", "16 bits"])
def test_tiff_pages_that_differ_are_several_frames(
    tmp_path: Path, compression: str | None, second: np.ndarray
) -> None:
    more = [Image.fromarray(second)]
    Image.fromarray(GREY).save(tmp_path / "a.tif", save_all=True, append_images=more, compression=compression)
    with pytest.raises(DataError, match="several frames"):
        read_image(tmp_path / "a.tif")


def test_a_tiff_may_hold_a_smaller_copy_after_its_image_but_not_before(tmp_path: Path) -> None:
    for name, kinds in (("after.tif", (0, 1)), ("before.tif", (1, 0))):
        with tifffile.TiffWriter(tmp_path / name) as file:
            for kind in kinds:
                file.write(GREY[::2, ::2] if kind else GREY, subfiletype=kind, metadata=None)
    expect(tmp_path / "after.tif", GREY, 255)
    with pytest.raises(DataError, match="several frames"):
        read_image(tmp_path / "before.tif")


def test_tiffs_without_one_clear_reading_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for samples, says in (
        (np.full((4, 4), 200, np.float32), "values from 200 to 200"),
        (np.zeros((4, 4), np.int16), "int16"),
        (np.zeros((3, 40, 40), np.uint8), "several frames"),
    ):
        tifffile.imwrite(path, samples, photometric="minisblack")
        with pytest.raises(DataError, match=says):
            read_image(path)
