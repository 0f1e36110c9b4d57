"""Downstream networks in training: segmentation by masks, grading by grades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hqgnet.config import Experiment
from hqgnet.downstream_config import Label
from hqgnet.losses import grading_loss, segmentation_loss
from hqgnet.losses.task import SegmentationLossKind
from hqgnet.networks import Networks
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Downstream


@runtime_checkable
class HasParts(Protocol):
    """A grader of several heads, each of which has its loss, as DeepGrading's."""

    def forward_parts(self, images: Tensor) -> Sequence[Tensor]:
        """Return logits (B, levels) of each head, the answer last."""
        ...


class Segmentation:
    """A segmentor: images to logits (B, 1, H, W).

    Args:
        networks: Of which ``task`` is the segmentor.
        kind: Its loss.
        device: Where it is.
        precision: In which it runs.
    """

    name = "segmentation"
    label: Label = "masks"

    def __init__(
        self, networks: Networks, kind: SegmentationLossKind, device: torch.device, precision: str
    ) -> None:
        self._networks = networks
        self._kind = kind
        self._device = device
        self._precision = precision

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Return L_d on images (B, C, H, W) with masks (B, 1, H, W)."""
        with autocast(self._device, self._precision):
            logits = self._networks.task(images)
        return segmentation_loss(logits.float(), target, self._kind)

    def prediction(self, images: Tensor) -> Tensor:
        """Return the probability of the foreground, (B, 1, H, W)."""
        return self._networks.predict(images)


class Grading:
    """A grader: images to logits (B, levels); arguments as for :class:`Segmentation`."""

    name = "grading"
    label: Label = "grades"

    def __init__(self, networks: Networks, device: torch.device, precision: str) -> None:
        self._networks = networks
        self._device = device
        self._precision = precision

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Return L_d on images (B, C, H, W) with grades (B,), summed over a network's heads."""
        network = self._networks.task
        with autocast(self._device, self._precision):
            heads = network.forward_parts(images) if isinstance(network, HasParts) else (network(images),)
        return grading_loss(heads, target)

    def prediction(self, images: Tensor) -> Tensor:
        """Return the probability of each grade, (B, levels)."""
        return self._networks.predict(images)


def downstream_of(networks: Networks, experiment: Experiment, device: torch.device) -> Downstream:
    """Return the experiment's downstream network, ready to be trained."""
    training = experiment.training
    if experiment.downstream.task == "grading":
        return Grading(networks, device, training.precision)
    return Segmentation(networks, training.segmentation_loss, device, training.precision)
