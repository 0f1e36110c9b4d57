"""Phase three, HQG-Net+: enhancer and downstream network trained together (Eq. 15 to 18).

One joint step: the downstream loss, taken on the enhanced image, reaches the downstream network and, through
the image, the generator and the cue extractor; the enhancement loss weighs lambda_3 beside it and reaches the
enhancer alone. A site without masks takes part with the enhancement loss only.
"""

from __future__ import annotations

import torch

from hqgnet.config import Experiment
from hqgnet.data.batches import UnpairedBatches
from hqgnet.losses import cooperative_objective, segmentation_loss
from hqgnet.networks import Networks
from hqgnet.training.enhance import Enhance
from hqgnet.training.optimizers import NamedAdam
from hqgnet.training.phase import Losses, autocast


class Cooperate:
    """Joint training of cue extractor, generator, discriminator and downstream network.

    Args:
        networks: All but the autoencoder's decoder are trained in place.
        experiment: Gives the losses, their weights and the optimiser.
        device: Where the networks are.
    """

    trained_groups: tuple[str, ...] = (*Enhance.trained_groups, "task")

    def __init__(self, networks: Networks, experiment: Experiment, device: torch.device) -> None:
        self._networks = networks
        self._device = device
        self._training = experiment.training
        self._enhance = Enhance(networks, experiment, device, phase="cooperate")
        rate = experiment.training.task_learning_rate or experiment.learning_rate("cooperate")
        task = NamedAdam(networks.task.named_parameters("task"), experiment.training, rate)
        self.optimizers = {**self._enhance.optimizers, "task": task}

    def step(self, batches: UnpairedBatches, index: int) -> Losses:
        """Update the discriminator, then enhancer and downstream network on their joint objective."""
        batch = batches.batch("cooperate", index).to(self._device)
        enhanced = self._enhance.forward(batch)
        losses = self._enhance.update_discriminator(batch, enhanced)
        objective, parts = self._enhance.objective(batch, enhanced)
        generator, task = self.optimizers["generator"], self.optimizers["task"]
        generator.zero_grad()
        task.zero_grad()
        if batch.masks is None or batch.labelled is None:
            objective.backward()
        else:
            with autocast(self._device, self._training.precision):
                labelled = enhanced.images if bool(batch.labelled.all()) else enhanced.images[batch.labelled]
                logits = self._networks.task(labelled)
            downstream = segmentation_loss(logits.float(), batch.masks, self._training.segmentation_loss)
            parts["segmentation"] = downstream.detach()
            cooperative_objective(downstream, objective, self._training.weights.enhancement).backward()
            task.step()
        generator.step()
        return losses | parts
