"""A model file into a folder of another format, whole and checked, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hqgnet import __version__
from hqgnet.errors import ConfigurationError, HqgnetError, ModelFileError, OutputError, Problem
from hqgnet.export.description import (
    DESCRIPTION_NAME,
    ExportDescription,
    ExportFormat,
    GuidanceInput,
    SizeRule,
    file_digest,
)
from hqgnet.export.formats import FILE_NAMES, example_sizes, write_network
from hqgnet.export.network import ExportedNetwork, guidance_of_export, size_rule
from hqgnet.export.sessions import Session
from hqgnet.files import make_folder, sync_folder, write_atomically
from hqgnet.inference.torch_runner import Precision
from hqgnet.model_file import Model

TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 8.0 / 255.0}
"""Largest difference from torch in float32 on random images in [0, 1] that an export may show."""


@dataclass(frozen=True)
class ExportRequest:
    """What to write.

    Attributes:
        format: Of the file.
        precision: To compute in; ``bfloat16`` for OpenVINO and torch.export.
        baked: The guidance becomes part of the network; else it is an input. Without effect on methods that
            take none.
        size: Height and width of the only images that it takes, in pixels; None for any.
    """

    format: ExportFormat
    precision: Precision = "float32"
    baked: bool = True
    size: tuple[int, int] | None = None


def export_model(
    model: Model, source: Path, output: Path, request: ExportRequest, guidance: Tensor | None
) -> ExportDescription:
    """Write a model in another format and compare it with torch.

    Args:
        model: On the CPU.
        source: Its file, for the digest.
        output: Folder that is made; it may exist if it is empty.
        request: What to write.
        guidance: v_z, ``(1, D)``: what is baked in, or stored beside a network that takes it as an input.

    Returns:
        What stands in the JSON file beside the network.

    Raises:
        ConfigurationError: If the request cannot be met: of this model, or without a missing package.
        OutputError: If the folder is in use, cannot be written, or the export failed or differs from torch;
            then nothing is left behind.
    """
    rule = size_rule(model.networks, request.size, request.format)
    _check(model, source, output, request, rule, guidance)
    make_folder(output.parent)
    digest = file_digest(source)
    if digest is None:
        raise ModelFileError(Problem(str(source), "cannot be read", "Check the path"))
    unfinished = output.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        unfinished.mkdir()
        session, kind = _write(model, request, rule, guidance, unfinished, output)
        error = _largest_error(model, session, kind, rule, guidance)
        if not error <= TOLERANCES[request.precision]:
            what = f"differs from torch by {error:.2e}, more than {TOLERANCES[request.precision]:.2e}"
            raise OutputError(Problem(str(output), what, "Nothing was written; use the model file itself"))
        files = {path.name: file_digest(path) or "" for path in sorted(unfinished.iterdir())}
        description = ExportDescription(
            format=request.format,
            software=__version__,
            model_sha256=digest,
            files=files,
            network=FILE_NAMES[request.format],
            method=model.experiment.method,
            channels=model.experiment.channels,
            image_size=model.experiment.image_size,
            size=rule,
            precision=request.precision,
            guidance=kind,
            stored_guidance=_numbers(guidance) if kind == "input" else None,
            largest_error=error,
        )
        write_atomically(
            unfinished / DESCRIPTION_NAME, description.model_dump_json(indent=2).encode() + b"\n"
        )
        _publish(unfinished, output)
        return description
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "Check that the folder above is writable and has free space"
        raise OutputError(Problem(str(output), what, remedy)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check(
    model: Model, source: Path, output: Path, request: ExportRequest, rule: SizeRule, guidance: Tensor | None
) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(Problem(str(output), "is in use", "Give a new or an empty folder"))
    if model.networks.guidance_size and request.baked and guidance is None:
        remedy = "Give an HQ image with --guide, or say --guidance input"
        raise ModelFileError(Problem(str(source), "holds no guidance: no site offered its HQ cue", remedy))
    problems = []
    if request.format == "onnx" and request.precision == "bfloat16":
        what = "ONNX Runtime computes no convolution in bfloat16 on a processor"
        problems.append(Problem("--precision", what, "Export to openvino, or say float32"))
    if request.size is not None and any(
        side % rule.multiple_of or side < rule.smallest for side in request.size
    ):
        remedy = f"Give multiples of {rule.multiple_of}, at least {rule.smallest}"
        problems.append(
            Problem("--size", f"{'x'.join(map(str, request.size))} does not fit this model", remedy)
        )
    if problems:
        raise ConfigurationError(problems)


def _write(
    model: Model,
    request: ExportRequest,
    rule: SizeRule,
    guidance: Tensor | None,
    folder: Path,
    output: Path,
) -> tuple[Session, GuidanceInput]:
    kind = guidance_of_export(model.networks, baked=request.baked)
    bfloat16 = request.precision == "bfloat16"
    network = ExportedNetwork(
        model.networks,
        guidance if kind == "baked" else None,
        bfloat16=bfloat16 and request.format == "torch-export",
    )
    example = torch.zeros(1, model.networks.guidance_size) if kind == "input" else None
    try:
        session = write_network(
            request.format, network, example, rule, model.experiment.channels, folder, bfloat16=bfloat16
        )
    except (HqgnetError, OSError):
        raise
    except Exception as error:  # tracing and conversion fail in many ways
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        what = f"this model cannot be exported ({reason})"
        remedy = "Try --size with the height and width of your images, or another format"
        raise OutputError(Problem(str(output), what, remedy)) from error
    return session, kind


@torch.inference_mode()
def _largest_error(
    model: Model, session: Session, kind: GuidanceInput, rule: SizeRule, guidance: Tensor | None
) -> float:
    """Return the largest difference from the networks as they are, on random images of several sizes."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for size in example_sizes(rule):
        images = torch.rand(1, model.experiment.channels, *size, generator=generator)
        if kind == "input":
            guidance = torch.randn(1, model.networks.guidance_size, generator=generator)
        given = guidance.numpy() if guidance is not None and kind == "input" else None
        seen = torch.from_numpy(session(images.numpy(), given))
        expected = model.networks.enhance(images, guidance).float()
        difference = (seen - expected).abs().max()
        worst = max(worst, float(difference) if torch.isfinite(difference) else float("inf"))
    return worst


def _publish(unfinished: Path, output: Path) -> None:
    if output.exists():
        output.rmdir()
    os.replace(unfinished, output)
    sync_folder(output)
    sync_folder(output.parent)


def _numbers(guidance: Tensor | None) -> tuple[float, ...] | None:
    return None if guidance is None else tuple(guidance.flatten().tolist())
