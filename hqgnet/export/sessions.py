"""Exported networks as functions of arrays, on the runtime of their format."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hqgnet.errors import ConfigurationError, ModelFileError, Problem
from hqgnet.export.description import ENHANCED, GUIDANCE, IMAGES, ExportFormat

Session = Callable[[NDArray[np.float32], NDArray[np.float32] | None], NDArray[np.float32]]
"""From images (1, C, H, W) and guidance (1, D), or None where it is no input, to images."""


def open_session(kind: ExportFormat, path: Path, *, bfloat16: bool) -> Session:
    """Open an exported network.

    Nothing is unpickled: ONNX and OpenVINO files are read by their runtimes' own parsers.

    Args:
        kind: Of the file.
        path: The network's file.
        bfloat16: Compute in it where the runtime can; matters for OpenVINO alone.

    Raises:
        ModelFileError: If the runtime cannot read the file, or reading it would mean unpickling.
        ConfigurationError: If the runtime is not installed.
    """
    if kind == "torch-export":
        what = "is a torch.export archive, which torch can only load by unpickling parts of it"
        remedy = "Export to onnx or openvino for enhance; load this one in code of yours, if you trust it"
        raise ModelFileError(Problem(str(path), what, remedy))
    opened = _onnx if kind == "onnx" else _openvino
    module = require("onnxruntime" if kind == "onnx" else "openvino")
    try:
        return opened(module, path, bfloat16)
    except Exception as error:  # each runtime has errors of its own
        what = f"cannot be read by {module.__name__} ({first_line(error)})"
        raise ModelFileError(Problem(str(path), what, "Export the model again")) from error


def require(name: str) -> Any:
    """Import a module of the extra ``export``.

    Raises:
        ConfigurationError: If it is not installed.
    """
    # OpenVINO reports its use over the network where this package of its own is found. Ours must not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what, remedy = "is not installed", "pip install 'hqgnet-federated[export]'"
        raise ConfigurationError(Problem(name, what, remedy)) from error


def _onnx(runtime: Any, path: Path, bfloat16: bool) -> Session:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.float32], guidance: NDArray[np.float32] | None) -> NDArray[np.float32]:
        given = {IMAGES: images} if guidance is None else {IMAGES: images, GUIDANCE: guidance}
        result: NDArray[np.float32] = session.run([ENHANCED], given)[0]
        return result

    return run


def _openvino(runtime: Any, path: Path, bfloat16: bool) -> Session:
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = runtime.Core().compile_model(str(path), "CPU", settings)

    def run(images: NDArray[np.float32], guidance: NDArray[np.float32] | None) -> NDArray[np.float32]:
        given = {IMAGES: images} if guidance is None else {IMAGES: images, GUIDANCE: guidance}
        result: NDArray[np.float32] = compiled(given)[ENHANCED].copy()
        return result

    return run


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
