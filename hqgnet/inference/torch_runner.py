"""Runners on torch: the networks as they are, or prepared for speed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hqgnet.inference.network import EnhancementNetwork
from hqgnet.model_file import Model

Precision = Literal["float32", "bfloat16"]


class PlainRunner:
    """The networks as they are: nothing to prepare, hence for an image or two.

    Args:
        model: Used in place.
    """

    def __init__(self, model: Model) -> None:
        self._networks = model.networks
        self._device = model.networks.device
        self.channels = model.experiment.channels
        self.image_size = model.experiment.image_size

    @torch.inference_mode()
    def run(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        """See :meth:`hqgnet.inference.runner.Runner.run`."""
        return self._networks.enhance(images.to(self._device), guidance).float().cpu()


class TorchRunner:
    """A copy of the generator made fast: batch normalisation folded, channels last, bfloat16 by choice.

    Attributes:
        network: That copy.

    Args:
        model: Not changed; its device is used.
        precision: Of convolutions and linear layers.
    """

    def __init__(self, model: Model, precision: Precision = "float32") -> None:
        self._device = model.networks.device
        self.network = EnhancementNetwork(model.networks, bfloat16=precision == "bfloat16")
        self.precision = precision
        self.channels = model.experiment.channels
        self.image_size = model.experiment.image_size

    @torch.inference_mode()
    def run(self, images: Tensor, guidance: Tensor | None) -> Tensor:
        """See :meth:`hqgnet.inference.runner.Runner.run`."""
        batch = images.to(self._device, memory_format=torch.channels_last)
        enhanced: Tensor = self.network(batch, guidance)
        return enhanced.cpu().contiguous()
