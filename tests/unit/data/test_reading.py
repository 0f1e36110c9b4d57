from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from hqgnet.data import reading
from hqgnet.data.reading import (
    MAX_PIXELS,
    describe,
    is_coloured,
    read_image,
    read_mask,
    read_with_format,
    to_channels,
)
from hqgnet.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8)
GREY16 = np.random.default_rng(2).integers(0, 65536, (5, 7), dtype=np.uint16)
RGB16 = np.random.default_rng(3).integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def expect(path: Path, expected: np.ndarray, top: float) -> None:
    """Compare a file with ``(H, W)`` or ``(H, W, C)`` samples."""
    image = read_image(path)
    assert image.dtype == torch.float32
    samples = expected[..., None] if expected.ndim == 2 else expected
    np.testing.assert_allclose(image.numpy().transpose(1, 2, 0), samples / top, atol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("samples", [RGB, GREY], ids=["rgb", "grey"])
def test_lossless_8_bit(tmp_path: Path, suffix: str, samples: np.ndarray) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(samples).save(path)
    expect(path, samples, 255)
    assert (describe(path).bits, describe(path).channels) == (8, 3 if samples.ndim == 3 else 1)


def test_jpeg_reads_as_pillow_decodes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path, quality=90)
    with Image.open(path) as image:
        expect(path, np.asarray(image), 255)


def test_16_bit_grey_png_and_tiff(tmp_path: Path) -> None:
    Image.fromarray(GREY16).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", GREY16)
    for name in ("a.png", "a.tif"):
        expect(tmp_path / name, GREY16, 65535)
        assert describe(tmp_path / name).bits == 16


def png(header: bytes, raw: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def filtered_lines(samples: np.ndarray) -> bytes:
    """Filter lines by the formulas of the PNG specification, byte by byte, all five filters in turn."""
    lines = samples.astype(">u2").reshape(samples.shape[0], -1).view(np.uint8)
    step, out = 2 * samples.shape[2], bytearray()
    for y, line in enumerate(lines):
        kind = y % 5
        out.append(kind)
        for x in range(line.size):
            a = int(line[x - step]) if x >= step else 0
            b = int(lines[y - 1][x]) if y else 0
            c = int(lines[y - 1][x - step]) if y and x >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            out.append((int(line[x]) - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    return bytes(out)


@pytest.mark.parametrize("shape", [(11, 7, 3), (6, 13, 4)], ids=["rgb", "rgba"])
def test_16_bit_colour_png_keeps_all_bits_through_every_filter(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    samples = np.random.default_rng(4).integers(0, 65536, shape, dtype=np.uint16)
    header = struct.pack(">IIBBBBB", shape[1], shape[0], 16, 2 if shape[2] == 3 else 6, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(png(header, filtered_lines(samples)))
    with Image.open(path) as image:  # the high bytes, as an oracle for the hand-made file
        np.testing.assert_array_equal(np.asarray(image), samples >> 8)
    expected = samples / 65535
    expect(path, expected if shape[2] == 3 else expected[..., :3] * expected[..., 3:], 1)
    assert describe(path).bits == 16


def test_an_animated_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    with pytest.raises(DataError, match="several frames"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_tag_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    # Where the first stored row and column end up, after the EXIF standard (JEITA CP-3451, tag 0x0112).
    stored = np.zeros((16, 32), np.uint8)
    stored[:8, :8] = 255  # a white square in the stored top left corner
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, stored, extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(stored).save(path, exif=exif)
    image = read_image(path)[0]
    assert image.shape == ((16, 32) if orientation < 5 else (32, 16))
    rows = slice(0, 8) if corner[0] == "t" else slice(-8, None)
    columns = slice(0, 8) if corner[1] == "l" else slice(-8, None)
    assert image[rows, columns].mean() > 0.95
    assert image.mean() < 0.15
    assert (describe(path).height, describe(path).width) == image.shape


def test_palette_png_gives_colours_not_indexes(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([10, 20, 30, 255, 0, 0, 0, 128, 255])
    image.putdata([0, 1, 2, 1])
    image.save(tmp_path / "a.png")
    expect(tmp_path / "a.png", np.array([[[10, 20, 30], [255, 0, 0]], [[0, 128, 255], [255, 0, 0]]]), 255)


def test_transparent_pixels_lie_on_black(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB, GREY])).save(tmp_path / "a.png")
    expect(tmp_path / "a.png", RGB / 255 * (GREY[..., None] / 255), 1)
    Image.fromarray(np.dstack([GREY, GREY[::-1]])).save(tmp_path / "b.png")
    expect(tmp_path / "b.png", GREY / 255 * (GREY[::-1] / 255), 1)


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert read_image(tmp_path / "a.jpg").mean(dim=(1, 2)).tolist() == pytest.approx([1, 0, 0], abs=0.02)


def test_channels_by_luminance_and_repetition(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (255, 51, 102)).save(tmp_path / "a.png")
    # 0.299 * 1 + 0.587 * 0.2 + 0.114 * 0.4
    assert float(read_image(tmp_path / "a.png", 1)) == pytest.approx(0.462, abs=1e-6)
    grey = torch.rand(1, 4, 4)
    assert torch.equal(to_channels(grey, 3), torch.cat([grey] * 3))
    assert torch.allclose(to_channels(to_channels(grey, 3), 1), grey, atol=1e-6)


def test_what_counts_as_coloured(tmp_path: Path) -> None:
    noisy = np.clip(np.random.default_rng(0).normal(120, 30, (64, 64)), 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([noisy] * 3)).save(tmp_path / "grey.jpg", quality=50)
    Image.fromarray(RGB).save(tmp_path / "colour.png")
    assert not is_coloured(read_image(tmp_path / "grey.jpg"))
    assert is_coloured(read_image(tmp_path / "colour.png"))


def test_kind_is_told_by_content(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    image, described = read_with_format(tmp_path / "a.jpg")
    assert described.kind == "png"
    assert image.shape == (3, 5, 7)


def truncated(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_truncated_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    truncated(path)
    with pytest.raises(DataError) as caught:
        read_image(path)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert problem.remedy


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b"not an image at all", "cannot be read"), (None, "is missing")]
)
def test_what_is_no_image(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_image(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(tmp_path: Path, bad: float) -> None:
    samples = np.full((4, 4), 0.5, np.float32)
    samples[1, 1] = bad
    tifffile.imwrite(tmp_path / "a.tif", samples)
    with pytest.raises(DataError, match="NaN or infinity"):
        read_image(tmp_path / "a.tif")


def test_nan_is_refused_whatever_decoder_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    bad = np.full((4, 4, 1), np.nan, np.float32)
    monkeypatch.setattr(reading, "_decode_with_pillow", lambda path: ("png", bad, 8, 1))
    for read in (read_image, read_mask, describe):
        with pytest.raises(DataError, match="NaN or infinity"):
            read(tmp_path / "a.png")


def test_decompression_bombs_are_refused_unread(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png(header, b""))
    with pytest.raises(DataError, match="pixels, more than"):
        read_image(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", shape=(side, side), dtype=np.uint8)  # sparse on disk
    with pytest.raises(DataError, match="pixels, more than"):
        read_image(tmp_path / "a.tif")
