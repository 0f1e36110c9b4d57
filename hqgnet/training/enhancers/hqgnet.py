"""HQG-Net as an enhancer: guided by HQ cues, against a discriminator (Eq. 1 to 11), with Table V's switches.

A step generates each enhanced image once and encodes each real image once: the discriminator's and the
generator's updates share the same forward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.batches import Batch
from hqgnet.losses import (
    AdversarialLoss,
    EnhancementWeights,
    HaarLoss,
    cosine,
    enhancement_objective,
    feature_consistency_loss,
    feature_map_consistency_loss,
    structure_loss,
)
from hqgnet.networks import HqgNetworks, frozen_statistics
from hqgnet.training.enhancers.guide_variance import GuideVariance
from hqgnet.training.frozen import frozen
from hqgnet.training.optimizers import NamedAdam, discriminator_adam
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Losses

_STRUCTURAL = ("haar_and_consistency", "haar", "structure")
_CONSISTENT = ("haar_and_consistency", "consistency")


@dataclass(frozen=True)
class GuidedPass:
    """One forward pass, kept for every loss that needs it.

    Attributes:
        images: Enhanced images x_hat, ``(B, C, H, W)``, float32, not yet clamped.
        guidance: v_z, ``(B, 64)`` (Eq. 1); None where no HQ image guides.
        described: What L_FC holds the enhanced image to: v_c = [v_z, v_y], ``(B, 80)`` (Eq. 2), or combined
            feature maps (Table V e).
        step: Of the phase.
    """

    images: Tensor
    guidance: Tensor | None
    described: Tensor
    step: int


class HqgEnhancer:
    """Adversarial training of cue extractor and generator against the site's discriminator.

    At a site without HQ images the generator alone is trained, guided by cues of a bank: its discriminator
    has no real image to learn from, and its cue extractor none to describe. A discriminator that others have
    taught, where the federation shares it, judges there all the same; without one L_GAN is left out.

    Args:
        networks: Of which ``cue_extractor``, ``generator`` and ``discriminator`` are trained in place.
        experiment: Gives the losses, their weights, the optimiser and the ablation.
        device: Where the networks are.
        phase: Whose learning rate to use.
    """

    def __init__(
        self, networks: HqgNetworks, experiment: Experiment, device: torch.device, phase: PhaseName
    ) -> None:
        training = experiment.training
        self._networks = networks
        self._device = device
        self._precision = training.precision
        self._ablation = experiment.ablation
        self._weights = EnhancementWeights(**training.weights.model_dump(exclude={"enhancement"}))
        self._haar = HaarLoss(training.sub_bands)
        self._adversarial = AdversarialLoss(training.adversarial)
        self._variance = GuideVariance(networks, experiment, device)
        self._shares_discriminator = experiment.federation.share_discriminator
        self._is_guided = experiment.ablation.guidance == "hq"
        self._frozen_trunk = self._is_guided and training.cue_extractor == "frozen"
        if self._is_guided:
            # An earlier phase at a site without HQ images has frozen all of it.
            networks.cue_extractor.requires_grad_(True)
            networks.cue_extractor.trunk.requires_grad_(not self._frozen_trunk)
        rate = experiment.learning_rate(phase)
        groups = ("cue_extractor", "generator") if self._is_guided else ("generator",)
        parameters = itertools.chain.from_iterable(
            networks.get_submodule(group).named_parameters(group) for group in groups
        )
        self.optimizers = {
            "generator": NamedAdam(parameters, training, rate),
            "discriminator": discriminator_adam(networks.discriminator, experiment, phase),
        }

    def forward(self, batch: Batch, step: int) -> GuidedPass:
        """Enhance the batch's LQ images, guided by its HQ images (Eq. 1 to 4)."""
        self._training_mode(guided_by_others=batch.cues is not None)
        generator = self._networks.generator
        with autocast(self._device, self._precision):
            guidance, cues = self._describe(batch.hq) if batch.cues is None else (batch.cues, None)
            encoded = generator.encode(batch.lq)
            images = generator.decode(encoded, guidance)
            if cues is None:
                described = generator.joint(guidance, encoded.structure)
            else:
                described = generator.combined(cues, encoded.features[-1])
        return GuidedPass(images.float(), guidance, described.float(), step)

    def update_adversaries(self, batch: Batch, enhanced: GuidedPass) -> Losses:
        """Teach the discriminator HQ images as real, enhanced ones as false (Eq. 10)."""
        if not len(batch.hq):
            return {}
        discriminator = self._networks.discriminator
        with autocast(self._device, self._precision):
            real, fake = discriminator(batch.hq), discriminator(enhanced.images.detach())
        loss = self._adversarial.discriminator(real.float(), fake.float())
        adam = self.optimizers["discriminator"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        return {"discriminator": loss.detach()}

    def objective(self, batch: Batch, enhanced: GuidedPass) -> tuple[Tensor, Losses]:
        """Return L_e (Eq. 11), with its gradient, and its parts."""
        networks = self._networks
        kept = self._ablation.content_loss
        vector = judged = None
        # Encoding enhanced images must not bend the running statistics: they are for real images.
        with autocast(self._device, self._precision), frozen_statistics(networks):
            if kept in _CONSISTENT:
                vector = self._described_again(enhanced.images)
            if len(batch.hq) or self._shares_discriminator:
                with frozen(networks.discriminator):
                    judged = networks.discriminator(enhanced.images)
        parts: Losses = {}
        structure = consistency = adversarial = enhanced.images.new_zeros(())
        if kept in _STRUCTURAL:
            name, loss = ("structure", structure_loss) if kept == "structure" else ("haar", self._haar)
            structure = loss(enhanced.images, batch.lq)
            parts[name] = structure.detach()
        if vector is not None:
            consistency, parts["feature_consistency"] = self._consistency(vector, enhanced.described)
        if judged is not None:
            adversarial = self._adversarial.generator(judged.float())
        objective = enhancement_objective(structure, consistency, adversarial, self._weights)
        if enhanced.guidance is not None and batch.cues is None:
            objective, spread = self._variance.add_to(objective, batch, enhanced.guidance, enhanced.step)
            parts |= spread
        parts = {"enhancement": objective.detach()} | parts
        if judged is not None:
            parts["adversarial"] = adversarial.detach()
        if vector is not None and vector.ndim == 2:
            # The Gram matrix is blind to a vector's sign; the cosine is not.
            parts["cue_cosine"] = cosine(vector, enhanced.described)
        return objective, parts

    def private_tensors(self) -> dict[str, Tensor]:
        """Return nothing: parameters and moments are all."""
        return {}

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore nothing."""

    def _training_mode(self, *, guided_by_others: bool) -> None:
        """Put the networks in training mode; a frozen trunk keeps its pretrained statistics.

        A cue extractor that gave the cues elsewhere stays as it was there: L_FC compares with them.
        """
        self._networks.train()
        if guided_by_others:
            self._networks.cue_extractor.eval().requires_grad_(False)
        elif self._frozen_trunk:
            self._networks.cue_extractor.trunk.eval()

    def _describe(self, images: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return guides of images and, where L_FC compares feature maps, those of the cue extractor."""
        if not self._is_guided:
            return None, None
        cue_extractor = self._networks.cue_extractor
        features = cue_extractor.trunk(images)
        by_features = self._ablation.guidance_vector == "feature"
        grid = cue_extractor.grid(features) if by_features or self._ablation.matching == "features" else None
        guidance = grid if by_features else cue_extractor.vector(features)
        return guidance, grid if self._ablation.matching == "features" else None

    def _described_again(self, enhanced: Tensor) -> Tensor:
        """Return v_xhat, the enhanced images as the same networks describe them (Eq. 8)."""
        generator = self._networks.generator
        cues, grid = self._describe(enhanced)
        if grid is not None:
            return generator.combined(grid, generator.deepest(enhanced)).float()
        return generator.joint(cues, generator.structure(enhanced)).float()

    def _consistency(self, vector: Tensor, described: Tensor) -> tuple[Tensor, Tensor]:
        loss = feature_consistency_loss if vector.ndim == 2 else feature_map_consistency_loss
        consistency = loss(vector, described)
        return consistency, consistency.detach()
