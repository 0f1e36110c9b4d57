"""Writing a network in each format; returns how to run what was written."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hqgnet.export.description import ENHANCED, GUIDANCE, IMAGES, ExportFormat, SizeRule
from hqgnet.export.network import ExportedNetwork
from hqgnet.export.sessions import Session, open_session, require

FILE_NAMES: dict[ExportFormat, str] = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "torch-export": "model.pt2",
}
_LARGEST = 8192


def write_network(
    kind: ExportFormat,
    network: ExportedNetwork,
    guidance: Tensor | None,
    rule: SizeRule,
    channels: int,
    folder: Path,
    *,
    bfloat16: bool,
) -> Session:
    """Write a network into a folder, and open what was written.

    Args:
        kind: Format.
        network: As it is to be written.
        guidance: An example, ``(1, D)``, where guidance is an input.
        rule: Its sizes.
        channels: Image channels C.
        folder: Exists; gets the files.
        bfloat16: See :func:`hqgnet.export.sessions.open_session`.
    """
    program = _traced(network, guidance, rule, channels)
    path = folder / FILE_NAMES[kind]
    if kind == "torch-export":
        torch.export.save(program, path)
        # The archive could be read back by unpickling alone: what stands in it is run instead.
        return _program_session(program)
    onnx_path = folder / FILE_NAMES["onnx"]
    _write_onnx(program, onnx_path, guided=guidance is not None)
    if kind == "openvino":
        openvino = require("openvino")
        read = openvino.Core().read_model(str(onnx_path))
        # float16 halves the file and has more digits than bfloat16, in which the network is computed, but a
        # smaller range. Numbers above it would be cut down to 65504. Those below 6e-8 become 0: so small a
        # change is left to the comparison with torch that every export has to pass.
        openvino.save_model(read, str(path), compress_to_fp16=bfloat16 and _is_within_float16(read))
        onnx_path.unlink()
    return open_session(kind, path, bfloat16=bfloat16)


def example_sizes(rule: SizeRule) -> list[tuple[int, int]]:
    """Return sizes, height and width, on which an exported network is tried."""
    if rule.height and rule.width:
        return [(rule.height, rule.width)]
    unit, least = rule.multiple_of, rule.smallest
    return [(least + unit, least + 2 * unit), (least + 3 * unit, least), (least, least)]


def _traced(
    network: ExportedNetwork, guidance: Tensor | None, rule: SizeRule, channels: int
) -> torch.export.ExportedProgram:
    height, width = example_sizes(rule)[0]
    given: tuple[Tensor, ...] = (torch.rand(1, channels, height, width),)
    shapes: list[dict[int, Any] | None] = [None]
    if rule.height is None:
        unit = rule.multiple_of
        sides = [
            unit * torch.export.Dim(name, min=rule.smallest // unit, max=_LARGEST // unit)
            for name in ("rows", "columns")
        ]
        shapes = [{2: sides[0], 3: sides[1]}]
    if guidance is not None:
        given, shapes = (*given, guidance), [*shapes, None]
    with torch.no_grad(), _quiet():
        return torch.export.export(network, given, dynamic_shapes=tuple(shapes))


def _write_onnx(program: torch.export.ExportedProgram, path: Path, *, guided: bool) -> None:
    for module in ("onnx", "onnxscript"):
        require(module)
    names = [IMAGES, GUIDANCE] if guided else [IMAGES]
    with _quiet():
        written = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=names, output_names=[ENHANCED]
        )
    if written is None:
        raise RuntimeError("torch.onnx gave no program")
    written.save(path, external_data=False)


def _is_within_float16(model: Any) -> bool:
    """Whether no number of an OpenVINO model is too large for float16; infinity is there too."""
    constants = (operation.data for operation in model.get_ops() if operation.get_type_name() == "Constant")
    numbers = (constant for constant in constants if constant.dtype == np.float32)
    return all(np.abs(one[np.isfinite(one)]).max(initial=0) <= np.finfo(np.float16).max for one in numbers)


def _program_session(program: torch.export.ExportedProgram) -> Session:
    module = program.module()

    def run(images: NDArray[np.float32], guidance: NDArray[np.float32] | None) -> NDArray[np.float32]:
        given = [torch.from_numpy(array) for array in (images, guidance) if array is not None]
        with torch.no_grad():
            result: NDArray[np.float32] = module(*given).numpy()
        return result

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep exporters' notes about optional packages from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
