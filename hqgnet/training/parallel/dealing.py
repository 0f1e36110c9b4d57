"""A batch for several ranks: rank 0 takes it from the site's images, and deals it out in equal shares.

The others need neither the site's folder nor memory for its images, and cannot take another batch than
rank 0 does: they are told the shapes, receive the whole batch, and keep their share of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hqgnet.data.batches import Batch
from hqgnet.ranks import own_share, spread
from hqgnet.training.protocols import Batches

Shapes = dict[str, tuple[str, list[int]]]
_FIELDS = tuple(field.name for field in dataclasses.fields(Batch))
_IMAGES = "images"


class DealtBatches:
    """The site's batches at rank 0.

    Args:
        batches: Of the whole site.
        device: On which ranks exchange.
        tell: Sends a step's number and shapes to the other ranks.
    """

    def __init__(self, batches: Batches, device: torch.device, tell: Callable[[int, Shapes], None]) -> None:
        self._batches = batches
        self._device = device
        self._tell = tell

    def batch(self, phase: str, step: int) -> Batch:
        """Return rank 0's share of a step's batch."""
        whole = self._batches.batch(phase, step).to(self._device)
        given = {name: value for name in _FIELDS if (value := getattr(whole, name)) is not None}
        return _batch(self._deal(step, given))

    def pretraining_batch(self, step: int) -> Tensor:
        """Return rank 0's share of a step's images for the autoencoder."""
        images = self._batches.pretraining_batch(step).to(self._device)
        return _shares(self._deal(step, {_IMAGES: images}))[_IMAGES]

    def _deal(self, step: int, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self._tell(step, shapes_of(tensors))
        spread_each(list(tensors.values()))
        return tensors


class ReceivedBatches:
    """The same at the other ranks.

    Args:
        device: On which ranks exchange.
        shapes: Waits for the shapes that rank 0 tells.
    """

    def __init__(self, device: torch.device, shapes: Callable[[], Shapes]) -> None:
        self._device = device
        self._shapes = shapes

    def batch(self, phase: str, step: int) -> Batch:
        """Return this rank's share."""
        return _batch(self._receive())

    def pretraining_batch(self, step: int) -> Tensor:
        """Return this rank's share of the images."""
        return _shares(self._receive())[_IMAGES]

    def _receive(self) -> dict[str, Tensor]:
        tensors = empty_tensors(self._shapes(), self._device)
        spread_each(list(tensors.values()))
        return tensors


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """Return type and shape of each tensor, as JSON can hold them."""
    return {
        name: (str(value.dtype).removeprefix("torch."), list(value.shape)) for name, value in tensors.items()
    }


def empty_tensors(shapes: Shapes, device: torch.device) -> dict[str, Tensor]:
    """Return tensors of the given types and shapes, to be filled."""
    return {
        name: torch.empty(shape, dtype=getattr(torch, kind), device=device)
        for name, (kind, shape) in shapes.items()
    }


def spread_each(tensors: Sequence[Tensor]) -> None:
    """Give rank 0's tensors to all; truth values travel as bytes."""
    for tensor in tensors:
        spread([tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor])


def _batch(tensors: Mapping[str, Tensor]) -> Batch:
    shares: dict[str, Any] = {**_shares(tensors)}
    return Batch(**shares)


def _shares(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Every field has one entry an image: labels come where they are learned from alone, and partly labelled
    # batches are refused beforehand. HQ images may be missing altogether.
    return {name: own_share(value) if len(value) else value for name, value in tensors.items()}
