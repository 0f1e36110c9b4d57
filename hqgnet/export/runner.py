"""Exported networks behind the same interface as those on torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hqgnet.errors import DataError, ModelFileError, Problem
from hqgnet.export.description import DESCRIPTION_NAME, ExportDescription, read_description
from hqgnet.export.sessions import first_line, open_session
from hqgnet.networks.padding import pad_to_multiple

_SUFFIXES = {".onnx", ".xml", ".bin", ".pt2", ".json"}


def exported_folder(path: Path) -> Path | None:
    """Return the folder of an export that ``path`` is, or is a file of; None if it is a model file."""
    if path.is_dir():
        return path
    if path.suffix in _SUFFIXES or path.name == DESCRIPTION_NAME:
        return path.parent
    return None


class ExportedRunner:
    """Runs a network that ``hqgnet export`` wrote.

    Args:
        folder: Where it lies.

    Raises:
        ModelFileError: If the folder is not as it was written, or of a format that is not loaded.
        ConfigurationError: If the runtime is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.description: ExportDescription = read_description(folder)
        described = self.description
        self._session = open_session(
            described.format, folder / described.network, bfloat16=described.precision == "bfloat16"
        )
        self.channels: int = described.channels
        self.image_size = described.image_size
        self._stored = None
        if described.guidance == "input" and described.stored_guidance is not None:
            self._stored = torch.tensor(described.stored_guidance).unsqueeze(0)

    def run(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        """See :meth:`hqgnet.inference.runner.Runner.run`.

        Args:
            images: ``(1, C, H, W)``.
            guidance: Used where guidance is an input; None: the vector that lies beside the network.

        Raises:
            DataError: If the network takes only images of another size.
            ModelFileError: If there is no guidance, or the network fails or gives no such images: the
                description and it are not of one another.
        """
        rule = self.description.size
        is_small = min(images.shape[-2:]) <= rule.multiple_of
        padded, padding = pad_to_multiple(images, rule.smallest if is_small else rule.multiple_of)
        if rule.height and rule.width and padded.shape[-2:] != (rule.height, rule.width):
            height, width = images.shape[-2:]
            remedy = "Export it without --size, or with the size of your images"
            what = f"the exported network takes {rule.height}x{rule.width} alone"
            raise DataError(Problem(f"image of {height}x{width} pixels", what, remedy))
        vector = None
        if self.description.guidance == "input":
            vector = self._stored if guidance is None else guidance
            if vector is None:
                what, remedy = "takes guidance as an input, and none lies beside it", "Export it baked in"
                raise ModelFileError(Problem(self.description.network, what, remedy))
        return padding.crop(self._enhanced(padded, vector))

    def _enhanced(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        network, (height, width) = self.description.network, images.shape[-2:]
        remedy = "Export the model again"
        try:
            given = None if guidance is None else guidance.numpy()
            enhanced = torch.from_numpy(self._session(images.contiguous().numpy(), given))
        except Exception as error:  # each runtime has errors of its own
            what = f"fails on an image of {height}x{width} pixels ({first_line(error)})"
            raise ModelFileError(Problem(network, what, remedy)) from error
        if enhanced.shape != images.shape:
            what = f"makes {tuple(enhanced.shape)} of images {tuple(images.shape)}"
            raise ModelFileError(Problem(network, what, remedy))
        return enhanced
