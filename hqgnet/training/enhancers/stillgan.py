"""StillGAN as an enhancer (Ma et al., IEEE TMI 2021, doi 10.1109/TMI.2021.3101937).

A cycle of two generators, LQ to HQ and back, against a discriminator each, with the structure loss both ways
and the illumination regularisation on enhanced images. Built from its published description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.batches import Batch
from hqgnet.losses import AdversarialLoss, illumination_loss, structure_loss
from hqgnet.networks import StillGanNetworks
from hqgnet.training.frozen import frozen
from hqgnet.training.image_pool import ImagePool
from hqgnet.training.optimizers import NamedAdam, discriminator_adam
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Losses

_SPAN = 2.0
"""The published weights are for images in [-1, 1]: differences of images in [0, 1] count twice."""


@dataclass(frozen=True)
class CyclePass:
    """One forward pass both ways.

    Attributes:
        images: G(y), the enhanced images, ``(B, C, H, W)`` in [0, 1], float32.
        degraded: F(z), HQ images made LQ, likewise.
        step: Of the phase.
    """

    images: Tensor
    degraded: Tensor
    step: int


class StillGanEnhancer:
    """Training of both generators against both discriminators.

    Decisions: the discriminators step first, as in the other methods; cycle, identity and illumination are
    taken on images in [-1, 1], the structure loss on images in [0, 1], for which its constant is made.

    Args:
        networks: Of which all but ``task`` is trained in place.
        experiment: Gives the losses' weights and the optimiser.
        device: Where the networks are.
        phase: Whose learning rate to use.
    """

    def __init__(
        self, networks: StillGanNetworks, experiment: Experiment, device: torch.device, phase: PhaseName
    ) -> None:
        self._networks = networks
        self._device = device
        self._precision = experiment.training.precision
        self._weights = experiment.stillgan
        self._adversarial = AdversarialLoss(experiment.training.adversarial)
        pools = ("hq", "lq")
        self._pools = {
            kind: ImagePool(experiment.stillgan.pool, experiment.seed, f"pool/{kind}") for kind in pools
        }
        generators = (
            (f"{group}.{name}", parameter)
            for group in ("generator", "backward_generator")
            for name, parameter in networks.get_submodule(group).named_parameters()
        )
        self.optimizers = {
            "generator": NamedAdam(generators, experiment.training, experiment.learning_rate(phase)),
            "discriminator": discriminator_adam(networks.discriminator, experiment, phase),
        }

    def forward(self, batch: Batch, step: int) -> CyclePass:
        """Enhance the LQ images, and degrade the HQ images."""
        networks = self._networks.train()
        with autocast(self._device, self._precision):
            return CyclePass(networks.generator(batch.lq), networks.backward_generator(batch.hq), step)

    def update_adversaries(self, batch: Batch, enhanced: CyclePass) -> Losses:
        """Teach each discriminator the real images of its kind, against generated ones of now or earlier."""
        judges = self._networks.discriminator
        losses: Losses = {}
        total = enhanced.images.new_zeros(())
        for kind, real, fake in (("hq", batch.hq, enhanced.images), ("lq", batch.lq, enhanced.degraded)):
            shown = self._pools[kind].exchange(fake, enhanced.step)
            with autocast(self._device, self._precision):
                verdicts = judges[kind](real), judges[kind](shown)
            # Half of the sum, as published, so that discriminators learn at half the pace.
            loss = self._adversarial.discriminator(*verdicts) / 2
            total = total + loss
            losses[f"discriminator_{kind}"] = loss.detach()
        adam = self.optimizers["discriminator"]
        adam.zero_grad()
        total.backward()
        adam.step()
        return losses

    def objective(self, batch: Batch, enhanced: CyclePass) -> tuple[Tensor, Losses]:
        """Return the generators' loss, with its gradient, and its parts."""
        networks, weights = self._networks, self._weights
        forward, backward = networks.generator, networks.backward_generator
        with autocast(self._device, self._precision):
            with frozen(networks.discriminator):
                judged = networks.discriminator["hq"](enhanced.images)
                judged_back = networks.discriminator["lq"](enhanced.degraded)
            cycled = backward(enhanced.images), forward(enhanced.degraded)
            identical = (
                _mapped(forward, batch.hq, weights.identity),
                _mapped(backward, batch.lq, weights.identity),
            )
        parts = {
            "adversarial": self._adversarial.generator(judged) + self._adversarial.generator(judged_back),
            "cycle": _distance(cycled[0], batch.lq) + _distance(cycled[1], batch.hq),
            "identity": _distance(identical[0], batch.hq) + _distance(identical[1], batch.lq),
            "structure": structure_loss(enhanced.images, batch.lq)
            + structure_loss(enhanced.degraded, batch.hq),
            "illumination": _SPAN * illumination_loss(enhanced.images),
        }
        objective = (
            parts["adversarial"]
            + weights.cycle * parts["cycle"]
            + weights.identity * parts["identity"]
            + weights.structure * parts["structure"]
            + weights.illumination * parts["illumination"]
        )
        detached = {name: part.detach() for name, part in parts.items()}
        return objective, detached | {"enhancement": objective.detach()}

    def private_tensors(self) -> dict[str, Tensor]:
        """Return the generated images that the discriminators remember."""
        return {
            f"pool.{kind}.{name}": value
            for kind, pool in self._pools.items()
            for name, value in pool.state().items()
        }

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the remembered images."""
        for kind, pool in self._pools.items():
            prefix = f"pool.{kind}."
            pool.load_state({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})


def _mapped(generator: nn.Module, images: Tensor, weight: float) -> Tensor:
    """Return what a generator makes of images that need no change; the images where that does not count."""
    mapped: Tensor = generator(images) if weight else images
    return mapped


def _distance(images: Tensor, target: Tensor) -> Tensor:
    return _SPAN * (images.float() - target).abs().mean()
