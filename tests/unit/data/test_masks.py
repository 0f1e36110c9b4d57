"""Masks: two values in whatever form read alike, several labels are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageDraw, ImageFilter

from hqgnet.data.masks import LabelsError
from hqgnet.data.reading import read_mask

SIDE = 256


def vessels(*values: int, width: int = 3) -> Image.Image:
    """Draw crooked lines of ``values`` in turn."""
    random, image = np.random.default_rng(0), Image.new("L", (SIDE, SIDE))
    for number in range(12):
        steps = random.normal((0, 12), 6, (24, 2)) if number % 2 else random.normal((12, 0), 6, (24, 2))
        points = np.cumsum(np.vstack([random.uniform(0, SIDE, 2) / (2, 8), steps]), axis=0)
        line = [(float(x), float(y)) for x, y in points]
        ImageDraw.Draw(image).line(line, fill=values[number % len(values)], width=width)
    return image


def disc_and_cup(disc: int, cup: int) -> Image.Image:
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).ellipse((60, 60, 200, 200), fill=disc)
    ImageDraw.Draw(image).ellipse((100, 100, 160, 160), fill=cup)
    return image


def test_masks_of_every_kind_read_alike(tmp_path: Path) -> None:
    truth = np.zeros((6, 6), np.uint8)
    truth[2:4, 1:5] = 1
    Image.fromarray(truth).save(tmp_path / "ones.png")
    Image.fromarray(truth * 255).save(tmp_path / "full.png")
    Image.fromarray(truth.astype(bool)).save(tmp_path / "bit.png")
    Image.fromarray(np.dstack([truth * 0, truth * 0, truth * 200])).save(tmp_path / "blue.bmp")
    palette = Image.fromarray(truth).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.putdata(truth.ravel().tolist())
    palette.save(tmp_path / "palette.png")
    tifffile.imwrite(tmp_path / "sixteen.tif", truth.astype(np.uint16) * 65535)
    for path in tmp_path.iterdir():
        mask = read_mask(path)
        assert mask.dtype == torch.float32
        np.testing.assert_array_equal(mask[0].numpy(), truth, err_msg=path.name)


def test_empty_masks_stay_empty(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 4, (8, 8), dtype=np.uint8)).save(tmp_path / "a.jpg")
    assert not read_mask(tmp_path / "a.png").any()
    assert not read_mask(tmp_path / "a.jpg").any()


@pytest.mark.parametrize("scale", [0.5, 0.7, 2, 3])
@pytest.mark.parametrize(
    "method", [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS]
)
@pytest.mark.parametrize(
    "drawn",
    [vessels(255), vessels(255, width=1), disc_and_cup(255, 255)],
    ids=["vessels", "thin", "disc"],
)
def test_smooth_edges_are_no_labels(
    tmp_path: Path, drawn: Image.Image, method: Image.Resampling, scale: float
) -> None:
    side = round(SIDE * scale)
    smooth = drawn.resize((side, side), method)
    smooth.save(tmp_path / "a.png")
    assert len(np.unique(smooth)) > 2 or method == Image.Resampling.BOX
    expected = np.asarray(smooth) > np.max(smooth) / 2
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png")[0].numpy(), expected)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("drawn", [vessels(255), disc_and_cup(255, 255)], ids=["vessels", "disc"])
def test_what_jpeg_adds_and_blur_are_no_labels(tmp_path: Path, drawn: Image.Image, quality: int) -> None:
    drawn.save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / "a.png")
    for radius in (1, 8):
        drawn.filter(ImageFilter.GaussianBlur(radius)).save(tmp_path / f"blurred-{radius}.png")
    for name in ("a.jpg", "a.png", "blurred-1.png", "blurred-8.png"):
        assert 0 < float(read_mask(tmp_path / name).mean()) < 0.5


@pytest.mark.parametrize("values", [(1, 2), (128, 255), (1, 255), (85, 170)], ids=str)
def test_labels_of_areas_are_refused(tmp_path: Path, values: tuple[int, int]) -> None:
    disc_and_cup(*values).save(tmp_path / "a.png")
    with pytest.raises(LabelsError, match="several labels") as caught:
        read_mask(tmp_path / "a.png")
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / "a.png") and "255 inside" in problem.remedy


@pytest.mark.parametrize("values", [(1, 2), (128, 255), (85, 170, 255)], ids=str)
@pytest.mark.parametrize("width", [1, 3])
def test_labels_of_thin_vessels_are_refused(tmp_path: Path, values: tuple[int, ...], width: int) -> None:
    vessels(*values, width=width).save(tmp_path / "a.png")
    with pytest.raises(LabelsError):
        read_mask(tmp_path / "a.png")


def test_a_rare_label_is_refused_and_so_are_numbered_cells(tmp_path: Path) -> None:
    rare = np.asarray(disc_and_cup(2, 2)).copy()
    rare[0, 0] = 1
    Image.fromarray(rare).save(tmp_path / "rare.png")
    cells = np.kron(np.arange(1, 101, dtype=np.uint16).reshape(10, 10), np.ones((20, 20), np.uint16))
    tifffile.imwrite(tmp_path / "cells.tif", cells)
    for name in ("rare.png", "cells.tif"):
        with pytest.raises(LabelsError):
            read_mask(tmp_path / name)


def test_values_that_all_are_read_as_foreground_do_no_harm(tmp_path: Path) -> None:
    disc_and_cup(254, 255).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png")[0].numpy(), np.asarray(disc_and_cup(1, 1)))
