"""Phase two, HQG-Net: enhancement guided by HQ cues, against a discriminator (Eq. 1 to 11).

A step generates each enhanced image once and encodes each real image once: the discriminator's and the
generator's updates share the same forward pass.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from hqgnet.config import Experiment
from hqgnet.data.batches import Batch, UnpairedBatches
from hqgnet.losses import (
    AdversarialLoss,
    EnhancementWeights,
    HaarLoss,
    cosine,
    enhancement_objective,
    feature_consistency_loss,
)
from hqgnet.networks import Networks, frozen_statistics
from hqgnet.training.optimizers import NamedAdam
from hqgnet.training.phase import Losses, autocast


@dataclass(frozen=True)
class Enhanced:
    """One forward pass, kept for every loss that needs it.

    Attributes:
        images: Enhanced images x_hat, ``(B, C, H, W)``, float32, not yet clamped.
        joint_vector: v_c = [v_z, v_y], ``(B, 80)`` (Eq. 2).
    """

    images: Tensor
    joint_vector: Tensor


class Enhance:
    """Adversarial training of cue extractor and generator against the site's discriminator.

    Args:
        networks: Of which ``cue_extractor``, ``generator`` and ``discriminator`` are trained in place.
        experiment: Gives the losses, their weights and the optimiser.
        device: Where the networks are.
        phase: Whose learning rate to use.
    """

    trained_groups: tuple[str, ...] = ("cue_extractor", "generator", "discriminator")

    def __init__(
        self, networks: Networks, experiment: Experiment, device: torch.device, phase: str = "enhance"
    ) -> None:
        training = experiment.training
        self._networks = networks
        self._device = device
        self._precision = training.precision
        self._frozen_trunk = training.cue_extractor == "frozen"
        self._weights = EnhancementWeights(**training.weights.model_dump(exclude={"enhancement"}))
        self._haar = HaarLoss(training.sub_bands)
        self._adversarial = AdversarialLoss(training.adversarial)
        networks.cue_extractor.trunk.requires_grad_(not self._frozen_trunk)
        rate = experiment.learning_rate("cooperate" if phase == "cooperate" else "enhance")
        generator_parameters = itertools.chain(
            networks.cue_extractor.named_parameters("cue_extractor"),
            networks.generator.named_parameters("generator"),
        )
        self.optimizers = {
            "generator": NamedAdam(generator_parameters, training, rate),
            "discriminator": NamedAdam(
                networks.discriminator.named_parameters("discriminator"), training, rate
            ),
        }

    def step(self, batches: UnpairedBatches, index: int) -> Losses:
        """Update the discriminator, then cue extractor and generator, on one unpaired batch."""
        batch = batches.batch("enhance", index).to(self._device)
        enhanced = self.forward(batch)
        losses = self.update_discriminator(batch, enhanced)
        objective, parts = self.objective(batch, enhanced)
        adam = self.optimizers["generator"]
        adam.zero_grad()
        objective.backward()
        adam.step()
        return losses | parts

    def forward(self, batch: Batch) -> Enhanced:
        """Enhance the batch's LQ images, guided by its HQ images (Eq. 1 to 4)."""
        self.training_mode()
        with autocast(self._device, self._precision):
            guidance = self._networks.cue_extractor(batch.hq)
            encoded = self._networks.generator.encode(batch.lq)
            images = self._networks.generator.decode(encoded, guidance)
        return Enhanced(images.float(), torch.cat([guidance, encoded.structure], dim=1).float())

    def training_mode(self) -> None:
        """Put the networks in training mode; a frozen trunk keeps its pretrained statistics."""
        self._networks.train()
        if self._frozen_trunk:
            self._networks.cue_extractor.trunk.eval()

    def update_discriminator(self, batch: Batch, enhanced: Enhanced) -> Losses:
        """Teach the discriminator HQ images as real, enhanced ones as false (Eq. 10)."""
        discriminator = self._networks.discriminator
        with autocast(self._device, self._precision):
            real, fake = discriminator(batch.hq), discriminator(enhanced.images.detach())
        loss = self._adversarial.discriminator(real.float(), fake.float())
        adam = self.optimizers["discriminator"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        return {"discriminator": loss.detach()}

    def objective(self, batch: Batch, enhanced: Enhanced) -> tuple[Tensor, Losses]:
        """Return L_e (Eq. 11), with its gradient, and its parts."""
        networks = self._networks
        # Encoding enhanced images must not bend the running statistics: they are for real images.
        with (
            autocast(self._device, self._precision),
            frozen_statistics(networks.cue_extractor),
            frozen_statistics(networks.generator),
        ):
            cues = networks.cue_extractor(enhanced.images)
            structure = networks.generator.structure(enhanced.images)
            networks.discriminator.requires_grad_(False)  # its weights need no gradient from this loss
            judged = networks.discriminator(enhanced.images)
            networks.discriminator.requires_grad_(True)
        vector = torch.cat([cues, structure], dim=1).float()
        haar = self._haar(enhanced.images, batch.lq)
        consistency = feature_consistency_loss(vector, enhanced.joint_vector)
        adversarial = self._adversarial.generator(judged.float())
        objective = enhancement_objective(haar, consistency, adversarial, self._weights)
        return objective, {
            "enhancement": objective.detach(),
            "haar": haar.detach(),
            "feature_consistency": consistency.detach(),
            "adversarial": adversarial.detach(),
            # The Gram matrix is blind to a vector's sign; the cosine is not.
            "cue_cosine": cosine(vector, enhanced.joint_vector),
        }
