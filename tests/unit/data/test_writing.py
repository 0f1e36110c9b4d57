from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from hqgnet.data.reading import describe, read_image
from hqgnet.data.writing import write_image, write_png
from hqgnet.errors import OutputError
from hqgnet.files import write_atomically
from tests.other_user import usual_umask

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def originals(folder: Path) -> list[Path]:
    Image.fromarray(RGB).save(folder / "rgb.png")
    Image.fromarray(RGB[..., 0]).save(folder / "grey.png")
    Image.fromarray(RGB[..., 0].astype(np.uint16) * 250).save(folder / "grey16.png")
    Image.fromarray(RGB).save(folder / "rgb.bmp")
    Image.fromarray(RGB[..., 1]).save(folder / "grey.bmp")
    tifffile.imwrite(folder / "rgb.tif", RGB, photometric="rgb")
    tifffile.imwrite(folder / "rgb16.tif", RGB.astype(np.uint16) * 250, photometric="rgb")
    tifffile.imwrite(folder / "float.tif", (RGB[..., 2] / 255).astype(np.float32))
    return sorted(folder.iterdir())


def test_round_trip_keeps_format_size_depth_and_values(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for source in originals(tmp_path / "in"):
        like = describe(source)
        target = tmp_path / "out" / "deeper" / source.name
        write_image(target, read_image(source), like)
        again = describe(target)
        assert (again.kind, again.bits, again.channels) == (like.kind, like.bits, like.channels), source.name
        assert torch.allclose(read_image(target), read_image(source), atol=1e-6), source.name


def test_16_bit_colour_png_keeps_16_bits(tmp_path: Path) -> None:
    image = torch.rand(3, 12, 10)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((12, 10, 3), np.uint16), photometric="rgb")
    like = describe(tmp_path / "a.tif")
    write_image(tmp_path / "a.png", image, type(like)("png", 16, 3, 12, 10, tmp_path))
    with Image.open(tmp_path / "a.png") as opened:  # Pillow reads the high bytes, and would see a broken file
        high = np.asarray(opened)
    np.testing.assert_array_equal(high, np.rint(image.numpy().transpose(1, 2, 0) * 65535).astype(int) >> 8)
    assert torch.allclose(read_image(tmp_path / "a.png"), image, atol=0.51 / 65535)


def test_jpeg_stays_jpeg_of_high_quality(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    Image.fromarray(np.dstack([np.tile(ramp, (48, 1))] * 3)).save(tmp_path / "a.jpg")
    like = describe(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg", read_image(tmp_path / "a.jpg"), like)
    with Image.open(tmp_path / "b.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (64, 48))
    assert torch.allclose(read_image(tmp_path / "b.jpg"), read_image(tmp_path / "a.jpg"), atol=3 / 255)


def test_an_upright_result_carries_no_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", image, describe(tmp_path / "a.png"))
    assert torch.allclose(read_image(tmp_path / "b.png"), image, atol=1e-6)


def test_channels_follow_the_original(tmp_path: Path) -> None:
    Image.fromarray(RGB[..., 0]).save(tmp_path / "a.png")
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png", 3), describe(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "L"


def test_values_are_clipped_and_rounded(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", torch.tensor([[[-0.2, 1.3, 0.5, 0.999]]]))
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).tolist() == [[0, 255, 128, 255]]


def test_pictures_are_their_owners_alone_and_results_the_users_own(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    with usual_umask():
        write_png(tmp_path / "picture.png", image)
        write_image(tmp_path / "result.png", image, describe(tmp_path / "a.png"))
    assert stat.S_IMODE((tmp_path / "picture.png").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "result.png").stat().st_mode) == 0o644


def test_wrong_size_and_nan_write_nothing(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    like = describe(tmp_path / "a.png")
    with pytest.raises(ValueError, match="original"):
        write_image(tmp_path / "b.png", torch.rand(3, 5, 5), like)
    with pytest.raises(ValueError, match="NaN"):
        write_image(tmp_path / "b.png", torch.full((3, 6, 9), float("nan")), like)
    assert not (tmp_path / "b.png").exists()


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def half(file: object) -> None:
        file.write(b"ne")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomically(tmp_path / "no" / "a.bin", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be made"):
        write_png(tmp_path / "file" / "a.png", torch.rand(3, 4, 4))
