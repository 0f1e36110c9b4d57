"""EnlightenGAN as an enhancer (Jiang et al., IEEE TIP 2021, arXiv 1906.06972).

One generator against a relativistic discriminator of whole images and one of patches; what an image shows is
held by the self feature preserving loss, on whole images and on patches. Built from its description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.batches import Batch
from hqgnet.losses import AdversarialLoss, relativistic_loss, self_feature_loss
from hqgnet.networks import EnlightenGanNetworks
from hqgnet.training.draws import draws
from hqgnet.training.frozen import frozen
from hqgnet.training.optimizers import NamedAdam, discriminator_adam
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Losses

_FEATURE_LEVEL = 2
"""Stage of the feature network whose maps are compared: of stride 16, as the published VGG layer is."""


@dataclass(frozen=True)
class PatchedPass:
    """One forward pass.

    Attributes:
        images: Enhanced images, ``(B, C, H, W)``, float32, not yet clamped.
        corners: Top and left of each patch, in pixels; the first patch counts as much as the others together.
    """

    images: Tensor
    corners: tuple[tuple[int, int], ...]


class EnlightenGanEnhancer:
    """Training of the generator against both discriminators; the feature network is frozen.

    Decisions: the patches lie at the same places in all images of a step, and the discriminators step first,
    as in the other methods; the losses of the paper are added without further weights.

    Args:
        networks: Of which ``generator`` and ``discriminator`` are trained in place.
        experiment: Gives the losses' weights and the optimiser.
        device: Where the networks are.
        phase: Whose learning rate to use.
    """

    def __init__(
        self, networks: EnlightenGanNetworks, experiment: Experiment, device: torch.device, phase: PhaseName
    ) -> None:
        self._networks = networks
        self._device = device
        self._precision = experiment.training.precision
        self._settings = experiment.enlightengan
        self._seed = experiment.seed
        self._local = AdversarialLoss("lsgan")
        networks.cue_extractor.requires_grad_(False)
        rate = experiment.learning_rate(phase)
        self.optimizers = {
            "generator": NamedAdam(
                networks.generator.named_parameters("generator"), experiment.training, rate
            ),
            "discriminator": discriminator_adam(networks.discriminator, experiment, phase),
        }

    def forward(self, batch: Batch, step: int) -> PatchedPass:
        """Enhance the LQ images, and draw where the patches lie."""
        self._networks.train()
        self._networks.cue_extractor.eval()
        with autocast(self._device, self._precision):
            images = self._networks.generator(batch.lq)
        generator = draws(self._seed, "patches", step)
        height, width = (max(1, side - self._settings.patch_size + 1) for side in images.shape[-2:])
        corners = tuple(
            (
                int(torch.randint(height, (), generator=generator)),
                int(torch.randint(width, (), generator=generator)),
            )
            for _ in range(1 + self._settings.patches)
        )
        return PatchedPass(images.float(), corners)

    def update_adversaries(self, batch: Batch, enhanced: PatchedPass) -> Losses:
        """Teach both discriminators HQ images as real, enhanced ones as false."""
        judges, fake = self._networks.discriminator, enhanced.images.detach()
        with autocast(self._device, self._precision):
            whole = judges["image"](batch.hq), judges["image"](fake)
            patches = [
                (judges["patch"](self._patch(batch.hq, at)), judges["patch"](self._patch(fake, at)))
                for at in enhanced.corners
            ]
        losses = {
            "discriminator_image": relativistic_loss(*whole),
            "discriminator_patch": _first_and_others([self._local.discriminator(*pair) for pair in patches]),
        }
        adam = self.optimizers["discriminator"]
        adam.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        adam.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def objective(self, batch: Batch, enhanced: PatchedPass) -> tuple[Tensor, Losses]:
        """Return the generator's loss, with its gradient, and its parts."""
        judges = self._networks.discriminator
        patches = [(self._patch(enhanced.images, at), self._patch(batch.lq, at)) for at in enhanced.corners]
        with autocast(self._device, self._precision):
            with frozen(judges):
                judged, real = judges["image"](enhanced.images), judges["image"](batch.hq)
                judged_patches = [judges["patch"](patch) for patch, _ in patches]
            preserved = self._preserved(enhanced.images, batch.lq)
            preserved_patches = [self._preserved(*pair) for pair in patches]
        parts = {
            "adversarial": relativistic_loss(judged, real),
            "adversarial_patch": _first_and_others([self._local.generator(one) for one in judged_patches]),
            "self_feature": preserved,
            "self_feature_patch": _first_and_others(preserved_patches),
        }
        features = parts["self_feature"] + parts["self_feature_patch"]
        objective = (
            parts["adversarial"] + parts["adversarial_patch"] + self._settings.feature_preserving * features
        )
        detached = {name: part.detach() for name, part in parts.items()}
        return objective, detached | {"enhancement": objective.detach()}

    def private_tensors(self) -> dict[str, Tensor]:
        """Return nothing: parameters and moments are all."""
        return {}

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore nothing."""

    def _patch(self, images: Tensor, corner: tuple[int, int]) -> Tensor:
        (top, left), side = corner, self._settings.patch_size
        return images[..., top : top + side, left : left + side]

    def _preserved(self, enhanced: Tensor, lq: Tensor) -> Tensor:
        trunk = self._networks.cue_extractor.trunk
        with torch.no_grad():
            given = trunk.pyramid(lq)[1][_FEATURE_LEVEL]
        return self_feature_loss(trunk.pyramid(enhanced)[1][_FEATURE_LEVEL], given)


def _first_and_others(losses: list[Tensor]) -> Tensor:
    """Return the first patch's loss plus the mean of the others'."""
    first, *others = losses
    return first + torch.stack(others).mean() if others else first
