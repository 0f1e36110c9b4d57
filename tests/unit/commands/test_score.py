"""``hqgnet score`` as a person calls it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from hqgnet import cli
from hqgnet.data.reading import read_image
from hqgnet.errors import ExitCode
from hqgnet.metrics.niqe import niqe
from hqgnet.metrics.no_reference import average_gradient, entropy, field_of_view
from hqgnet.metrics.piqe import piqe
from hqgnet.metrics.scoring import METRICS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, one of them in a sub-folder, and one of 64 pixels."""
    pixels = data.astronaut()[:256, 100:356]
    (tmp_path / "more").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:64, :64]).save(tmp_path / "small.bmp")
    Image.fromarray(pixels[::-1]).save(tmp_path / "more" / "c.tif")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_the_command_knows_all_metrics() -> None:
    assert cli._METRICS == METRICS


def test_json_holds_the_figures_and_why_there_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", str(folder), "--json"]) == 0
    rows = {row["file"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == [str(folder / name) for name in ("a.png", "more/c.tif", "small.bmp")]
    image = read_image(folder / "a.png").unsqueeze(0)
    row = rows[str(folder / "a.png")]
    assert set(row) == {"file", "niqe", "brisque", "piqe", "ag", "en"}
    for name, metric in (("niqe", niqe), ("piqe", piqe), ("ag", average_gradient), ("en", entropy)):
        assert row[name] == metric(image).item()
    small = rows[str(folder / "small.bmp")]
    assert small["niqe"] is None and isinstance(small["brisque"], float)
    assert small["reasons"] == {"niqe": "the image has 64 x 64 pixels, fewer than 192 a side"}


def test_the_table_has_the_metrics_asked_for_in_their_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["score", str(folder / "small.bmp"), str(folder / "a.png"), "--metrics", "EN,niqe,en"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "en", "niqe"]
    assert lines[1].split()[0] == str(folder / "small.bmp") and lines[1].split()[2] == "n/a"
    image = read_image(folder / "a.png").unsqueeze(0)
    assert lines[2].split()[1:] == [f"{entropy(image).item():.3f}", f"{niqe(image).item():.3f}"]
    assert lines[3].startswith("n/a: niqe of ") and "64 x 64" in lines[3]


def test_field_of_view_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = data.astronaut()[:256, 100:356].copy()
    rows, columns = np.mgrid[:256, :256] - 127.5
    pixels[rows**2 + columns**2 > 110**2] = 0
    path = tmp_path / "disc.png"
    Image.fromarray(pixels).save(path)

    def figures(*options: str) -> dict[str, float]:
        assert cli.main(["score", str(path), "--json", "--metrics", "en,piqe", *options]) == 0
        [row] = json.loads(capsys.readouterr().out)
        return row

    image = read_image(path).unsqueeze(0)
    inside = field_of_view(image)
    assert inside.mean() < 0.7
    assert figures() == {"file": str(path), "en": entropy(image).item(), "piqe": piqe(image).item()}
    assert figures("--field-of-view") == {
        "file": str(path),
        "en": entropy(image, inside).item(),
        "piqe": piqe(image, inside).item(),
    }
    half = torch.nn.functional.interpolate(image, size=(128, 128), mode="bilinear", antialias=True)
    assert figures("--size", "128")["en"] == pytest.approx(entropy(half).item(), rel=1e-6)


def test_one_bad_file_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty").mkdir()
    missing = folder / "nowhere.png"
    arguments = ["score", str(missing), str(folder / "empty"), str(folder), "--json", "--metrics", "ag"]
    assert cli.main(arguments) == ExitCode.DATA
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 3
    for said in (f"{folder / 'broken.png'}: cannot be read", f"{missing}: is missing", "holds no image"):
        assert said in printed.err


def test_hidden_files_of_a_folder_are_no_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "._a.png").write_bytes(b"\0\5\x16\7")
    assert cli.main(["score", str(folder), "--json", "--metrics", "ag"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_a_name_that_is_no_text_is_printed_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "small.bmp").rename(folder / os.fsdecode(b"small-\xe9.bmp"))
    assert cli.main(["score", str(folder), "--metrics", "ag,niqe"]) == 0
    table = capsys.readouterr().out
    assert r"small-\udce9.bmp" in table and "64 x 64" in table


def test_an_unknown_metric_is_named_with_those_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["score", str(folder), "--metrics", "niqe,ssim,,"])
    assert ended.value.code == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "unknown: ssim" in said and "niqe, brisque, piqe, ag, en" in said
