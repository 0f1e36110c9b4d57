"""``hqgnet export`` and ``hqgnet enhance`` on what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hqgnet.cli import main
from hqgnet.config import Experiment
from hqgnet.data.reading import read_image
from hqgnet.errors import ExitCode
from hqgnet.export import writing
from hqgnet.export.description import DESCRIPTION_NAME, file_digest
from hqgnet.export.runner import ExportedRunner
from hqgnet.guidance import image_guidance
from hqgnet.model_file import load_model, save_model
from tests.unit.inference.models import lively_model, smooth_image

for _module in ("onnx", "onnxruntime", "onnxscript", "openvino"):
    pytest.importorskip(_module, reason="needs the extra 'export'")


@pytest.fixture(scope="module")
def model_path(tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = lively_model(tiny_experiment)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, model.networks, tiny_experiment, guidance=model.guidance)
    return path


@pytest.fixture(scope="module")
def exports(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One export of each kind; tests must not change them."""
    base = tmp_path_factory.mktemp("exports")
    options = {
        "onnx": ["--guidance", "input"],
        "openvino": ["--precision", "bfloat16"],
        "torch-export": ["--precision", "bfloat16", "--size", "64x96"],
    }
    for kind, given in options.items():
        arguments = ["export", "--model", str(model_path), "--to", kind, "--output", str(base / kind), *given]
        assert main(arguments) == 0
    return {kind: base / kind for kind in options}


@pytest.mark.parametrize(("kind", "tolerance"), [("onnx", 1e-5), ("openvino", 0.03)])
@pytest.mark.parametrize("size", [(48, 48), (70, 100), (32, 20)])
def test_an_export_gives_torchs_images_at_any_size(
    exports: dict[str, Path], model_path: Path, kind: str, tolerance: float, size: tuple[int, int]
) -> None:
    model, images = load_model(model_path), smooth_image(*size)
    with torch.inference_mode():
        expected = model.networks.enhance(images, model.guidance)
    seen = ExportedRunner(exports[kind]).run(images, None)
    torch.testing.assert_close(seen, expected, atol=tolerance, rtol=0)
    assert float((seen - images).abs().max()) > 0.02


def test_guidance_is_an_input_where_it_was_asked_for(exports: dict[str, Path], model_path: Path) -> None:
    model, images = load_model(model_path), smooth_image(64, 64)
    other = torch.randn(1, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = model.networks.enhance(images, other)
    seen = ExportedRunner(exports["onnx"]).run(images, other)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(seen, ExportedRunner(exports["onnx"]).run(images, None), atol=1e-4)


def test_an_image_may_guide_instead_of_the_stored_cue(model_path: Path, tmp_path: Path) -> None:
    guide = tmp_path / "guide.png"
    Image.fromarray((255 * smooth_image(48, 40, seed=2)[0].permute(1, 2, 0).numpy()).astype(np.uint8)).save(
        guide
    )
    arguments = ["export", "--model", str(model_path), "--to", "onnx", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--guide", str(guide)]) == 0
    model, images = load_model(model_path), smooth_image(64, 64)
    cue = image_guidance(model.networks, read_image(guide), model.experiment.image_size, torch.device("cpu"))
    with torch.inference_mode():
        guided, stored = (model.networks.enhance(images, vector) for vector in (cue, model.guidance))
    seen = ExportedRunner(tmp_path / "out").run(images, None)
    torch.testing.assert_close(seen, guided, atol=1e-5, rtol=0)
    assert not torch.allclose(seen, stored, atol=1e-4)


def test_the_description_says_what_was_written(exports: dict[str, Path], model_path: Path) -> None:
    described = json.loads((exports["openvino"] / DESCRIPTION_NAME).read_text())
    assert described["model_sha256"] == file_digest(model_path)
    assert (described["format"], described["precision"]) == ("openvino", "bfloat16")
    assert described["guidance"] == "baked" and described["stored_guidance"] is None
    assert described["channels"] == 3 and described["image_size"] == 48
    assert described["size"] == {"multiple_of": 32, "smallest": 32, "height": None, "width": None}
    assert sorted(described["files"]) == ["model.bin", "model.xml"]
    assert 0 < described["largest_error"] < 8 / 255
    fixed = json.loads((exports["torch-export"] / DESCRIPTION_NAME).read_text())
    assert (fixed["size"]["height"], fixed["size"]["width"]) == (64, 96)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_enhance_runs_an_export_as_it_runs_the_model(
    exports: dict[str, Path], model_path: Path, tmp_path: Path, kind: str, named: str
) -> None:
    source = tmp_path / "in.png"
    Image.fromarray((255 * smooth_image(90, 70)[0].permute(1, 2, 0).numpy()).astype(np.uint8)).save(source)
    files = {"onnx": "model.onnx", "openvino": "model.xml"}
    exported = exports[kind] if named == "folder" else exports[kind] / files[kind]
    results = []
    for name, model in (("a", model_path), ("b", exported)):
        output = tmp_path / name
        given = ["--model", str(model), "--input", str(source), "--output", str(output)]
        # Not given: float32 of a model file, its own of an exported network, whichever that is.
        assert main(["enhance", *given]) == 0
        results.append(np.asarray(Image.open(output / "in.png")).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 5


def test_a_torch_export_archive_is_not_loaded(
    exports: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main(["enhance", "--model", str(exports["torch-export"]), *arguments]) == ExitCode.MODEL_FILE
    assert "unpickling" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--tile", "64"], ["--overlap", "0"], ["--guide", "a.png"], ["--precision", "bfloat16"]]
)
def test_enhance_refuses_what_an_export_cannot_do(
    exports: dict[str, Path], tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), *option]
    assert main(["enhance", "--model", str(exports["onnx"]), *arguments]) == ExitCode.CONFIGURATION
    assert option[0] in capsys.readouterr().err


def test_a_changed_file_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in exports["onnx"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["--input", str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main(["enhance", "--model", str(folder), *arguments]) == ExitCode.MODEL_FILE


def test_an_export_that_differs_from_torch_leaves_nothing(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(writing.TOLERANCES, "bfloat16", 1e-9)
    given = ["--to", "torch-export", "--precision", "bfloat16", "--size", "64"]
    arguments = ["export", "--model", str(model_path), "--output", str(tmp_path / "out"), *given]
    assert main(arguments) == ExitCode.OUTPUT
    assert "differs from torch" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["--to", "onnx", "--precision", "bfloat16"], ExitCode.CONFIGURATION),
        (["--to", "onnx", "--size", "50"], ExitCode.CONFIGURATION),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    model_path: Path, tmp_path: Path, given: list[str], code: ExitCode
) -> None:
    arguments = ["export", "--model", str(model_path), "--output", str(tmp_path / "out"), *given]
    assert main(arguments) == code
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    arguments = ["export", "--model", str(model_path), "--to", "onnx", "--output", str(tmp_path)]
    assert main(arguments) == ExitCode.OUTPUT
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_without_a_cue_cannot_have_one_baked_in(tiny_experiment: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, lively_model(tiny_experiment).networks, tiny_experiment, guidance=None)
    arguments = ["export", "--model", str(path), "--to", "onnx", "--output", str(tmp_path / "out")]
    assert main(arguments) == ExitCode.MODEL_FILE


def test_openvino_reports_nothing_over_the_network() -> None:
    code = """
import sys
from hqgnet.export.sessions import require
assert require("openvino").Core().available_devices
loaded = [name for name, module in sys.modules.items() if "openvino_telemetry" in name and module]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
