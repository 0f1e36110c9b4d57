"""What lies beside an exported network: JSON that says how to feed it, and of which model it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from hqgnet.errors import ModelFileError, Problem

DESCRIPTION_NAME = "hqgnet-export.json"
IMAGES, GUIDANCE, ENHANCED = "images", "guidance", "enhanced"
"""Names of the exported network's inputs and output."""

ExportFormat = Literal["onnx", "openvino", "torch-export"]
GuidanceInput = Literal["none", "baked", "input"]
Positive = Annotated[int, Field(ge=1)]
Stride = Annotated[int, Field(ge=1, le=1024)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SizeRule(_Frozen):
    """Which images the network takes, in pixels; others are padded by mirroring and cropped afterwards."""

    multiple_of: Stride = Field(description="height and width must be multiples of it")
    smallest: Stride = Field(description="height and width must be at least this")
    height: Positive | None = Field(None, description="the only height that it takes; null: any")
    width: Positive | None = Field(None, description="the only width that it takes; null: any")


class ExportDescription(_Frozen):
    """Everything that a runner needs beside the network's file."""

    format: ExportFormat
    version: Literal[1] = 1
    software: str = Field(description="version of hqgnet that wrote it")
    model_sha256: str = Field(description="digest of the model file that was exported")
    files: dict[str, str] = Field(min_length=1, description="digest (SHA-256) of each file beside this one")
    network: str = Field(description="the file to open")
    method: str
    channels: Literal[1, 3]
    image_size: Positive = Field(description="longer side of the images that it was trained on")
    size: SizeRule
    precision: Literal["float32", "bfloat16"]
    guidance: GuidanceInput = Field(description="none: the method takes none")
    stored_guidance: tuple[FiniteFloat, ...] | None = Field(
        None, description="where guidance is an input: the model's own vector, for users without another"
    )
    largest_error: float = Field(ge=0, description="largest difference from torch, images in [0, 1]")


def read_description(folder: Path) -> ExportDescription:
    """Read and check what :mod:`hqgnet.export.writing` put into a folder.

    Raises:
        ModelFileError: If it is missing or damaged, or a file beside it is not the one that was written.
    """
    path = folder / DESCRIPTION_NAME
    remedy = "Give a folder that hqgnet export wrote, whole"
    try:
        description = ExportDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelFileError(Problem(str(path), f"cannot be read ({error.strerror})", remedy)) from error
    except ValidationError as error:
        raise ModelFileError(Problem(str(path), "is not an export's description", remedy)) from error
    names = {*description.files, description.network}
    if any(Path(name).name != name for name in names) or description.network not in description.files:
        raise ModelFileError(Problem(str(path), "names files outside its folder", remedy))
    bad = [name for name, digest in description.files.items() if file_digest(folder / name) != digest]
    if bad:
        raise ModelFileError([Problem(str(folder / name), "is missing or changed", remedy) for name in bad])
    return description


def file_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file in hexadecimal; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # a name with a zero byte is no path
        return None
