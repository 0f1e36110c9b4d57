"""Exported networks and their descriptions: of one another, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hqgnet.errors import ModelFileError
from hqgnet.export import runner
from hqgnet.export.description import DESCRIPTION_NAME, file_digest
from hqgnet.export.runner import ExportedRunner

Array = NDArray[np.float32]


def session(images: Array, guidance: Array | None) -> Array:
    """Stand for a network that is guided by two numbers and wants sides of multiples of four."""
    if guidance is None or guidance.shape != (1, 2) or images.shape[2] % 4 or images.shape[3] % 4:
        raise RuntimeError("invalid dimensions\nof an input")
    return images[:, :, 4:] if images.shape[2] == 12 else images


def exported(folder: Path, **changed: Any) -> Path:
    """Write a description, by default of the network above."""
    (folder / "model.onnx").write_bytes(b"network")
    described = {
        "format": "onnx",
        "software": "1",
        "model_sha256": "0",
        "files": {"model.onnx": file_digest(folder / "model.onnx")},
        "network": "model.onnx",
        "method": "hqgnet",
        "channels": 3,
        "image_size": 8,
        "size": {"multiple_of": 4, "smallest": 4},
        "precision": "float32",
        "guidance": "input",
        "stored_guidance": [1.0, 2.0],
        "largest_error": 0.0,
    }
    (folder / DESCRIPTION_NAME).write_text(json.dumps(described | changed))
    return folder


@pytest.fixture(autouse=True)
def _without_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "open_session", lambda *_, **__: session)


def test_a_network_and_its_description_enhance(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 6, 9)
    assert torch.equal(ExportedRunner(exported(tmp_path)).run(images, None), images)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stored_guidance": [1.0]}, r"fails on an image of 8x8 pixels \(invalid dimensions\)\. Export"),
        ({"guidance": "baked"}, "fails on an image of 8x8 pixels"),
        ({"size": {"multiple_of": 3, "smallest": 3}}, "fails on an image of 9x9 pixels"),
        ({"size": {"multiple_of": 12, "smallest": 12}}, r"makes \(1, 3, 8, 12\) of images \(1, 3, 12, 12\)"),
        ({"stored_guidance": [float("nan"), 1.0]}, "is not an export's description"),
        ({"size": {"multiple_of": 10**6, "smallest": 10**6}}, "is not an export's description"),
        ({"files": {"model.onnx": "", "a\0b": ""}}, "is missing or changed"),
    ],
)
def test_a_description_of_another_network_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """Neither the runtime's own error nor memory for a million pixels a side."""
    with pytest.raises(ModelFileError, match=said):
        ExportedRunner(exported(tmp_path, **changed)).run(torch.rand(1, 3, 8, 8), None)
