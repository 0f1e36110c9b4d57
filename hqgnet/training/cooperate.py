"""Phase three: an enhancer and a downstream network trained together (Eq. 15 to 18), the paper's "+".

One joint step: the downstream loss, taken on the enhanced image, reaches the downstream network and, through
the image, all that enhances; the enhancement loss weighs lambda_3 beside it and reaches the enhancer alone. A
site without labels takes part with the enhancement loss only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hqgnet.config import Experiment
from hqgnet.data.batches import Batch
from hqgnet.downstream_config import Label
from hqgnet.losses import cooperative_objective
from hqgnet.networks import Networks
from hqgnet.training.optimizers import NamedAdam
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Batches, Downstream, Enhancer, Losses


class Cooperate:
    """Joint training of any enhancer and any downstream network; either may be frozen.

    Args:
        networks: Of which ``task`` is the downstream network.
        enhancer: Trained in place; None freezes it, and the downstream network is trained alone.
        downstream: Its loss on images.
        experiment: Gives lambda_3, the downstream network's optimiser, and what it sees.
        device: Where the networks are.
    """

    def __init__(
        self,
        networks: Networks,
        enhancer: Enhancer[Any] | None,
        downstream: Downstream,
        experiment: Experiment,
        device: torch.device,
    ) -> None:
        self._networks = networks
        self._enhancer = enhancer
        self._downstream = downstream
        self._device = device
        self._precision = experiment.training.precision
        self._weight = experiment.training.weights.enhancement
        self._sees_enhanced = experiment.downstream.sees == "enhanced"
        self._trains_task = experiment.downstream.trained_in_cooperate
        self.optimizers: dict[str, NamedAdam] = dict(enhancer.optimizers) if enhancer else {}
        if self._trains_task:
            rate = experiment.training.task_learning_rate or experiment.learning_rate("cooperate")
            parameters = networks.task.named_parameters("task")
            self.optimizers["task"] = NamedAdam(parameters, experiment.training, rate)
        else:
            networks.task.requires_grad_(False)

    def step(self, batches: Batches, index: int) -> Losses:
        """Update the discriminators, then enhancer and downstream network on their joint objective."""
        batch = batches.batch("cooperate", index).to(self._device)
        labels = _labels(batch, self._downstream.label)
        if self._enhancer is None:
            return self._alone(batch, labels)
        enhanced = self._enhancer.forward(batch, index)
        self._networks.task.train(self._trains_task)
        losses = self._enhancer.update_adversaries(batch, enhanced)
        objective, parts = self._enhancer.objective(batch, enhanced)
        self.optimizers["generator"].zero_grad()
        if labels is None:
            objective.backward()
        else:
            downstream = self._downstream_loss(enhanced.images, *labels)
            parts[self._downstream.name] = downstream.detach()
            self._move_task(cooperative_objective(downstream, objective, self._weight))
        self.optimizers["generator"].step()
        return losses | parts

    def private_tensors(self) -> dict[str, Tensor]:
        """Return the enhancer's."""
        return self._enhancer.private_tensors() if self._enhancer else {}

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the enhancer's."""
        if self._enhancer:
            self._enhancer.load_private_tensors(tensors)

    def _alone(self, batch: Batch, labels: tuple[Tensor, Tensor] | None) -> Losses:
        """Train the downstream network on images of the frozen enhancer, or on originals."""
        networks = self._networks.eval()
        images = batch.lq
        if self._sees_enhanced:
            with torch.no_grad(), autocast(self._device, self._precision):
                guidance = networks.describe(batch.hq) if batch.cues is None else batch.cues
                images = networks.enhance(batch.lq, guidance).float()
        networks.task.train()
        if labels is None:
            return {}
        loss = self._downstream_loss(images, *labels)
        self._move_task(loss)
        return {self._downstream.name: loss.detach()}

    def _downstream_loss(self, images: Tensor, which: Tensor, target: Tensor) -> Tensor:
        labelled = images if bool(which.all()) else images[which]
        return self._downstream.loss(labelled, target)

    def _move_task(self, objective: Tensor) -> None:
        """Take the gradient of an objective, and the downstream network's step where it is trained."""
        task = self.optimizers.get("task")
        if task:
            task.zero_grad()
        objective.backward()
        if task:
            task.step()


def _labels(batch: Batch, label: Label) -> tuple[Tensor, Tensor] | None:
    """Return which images of a batch are labelled (B,), and their labels; None if none is."""
    which, target = (batch.labelled, batch.masks) if label == "masks" else (batch.graded, batch.grades)
    return None if which is None or target is None else (which, target)
