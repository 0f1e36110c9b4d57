"""The two sides of cooperative training (Eq. 12 to 18): any enhancer, any downstream network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from torch import Tensor

from hqgnet.data.batches import Batch
from hqgnet.downstream_config import Label
from hqgnet.training.optimizers import NamedAdam

Losses = dict[str, Tensor]


class Batches(Protocol):
    """What steps take their images from, as a function of phase and step alone."""

    def batch(self, phase: str, step: int) -> Batch:
        """Return LQ and HQ images of a step, with what labels there are."""
        ...

    def pretraining_batch(self, step: int) -> Tensor:
        """Return images (B, C, H, W) for the autoencoder."""
        ...


class Enhanced(Protocol):
    """One forward pass of an enhancer, kept for every loss that needs it."""

    @property
    def images(self) -> Tensor:
        """Enhanced images x_hat, ``(B, C, H, W)``, float32, not yet clamped, with the gradient."""
        ...


_Pass = TypeVar("_Pass", bound=Enhanced)


class Enhancer(Protocol[_Pass]):
    """An enhancement network in training: Phi of Eq. 14, with its own losses.

    A step calls :meth:`forward`, :meth:`update_adversaries` and :meth:`objective`, in this order and on one
    batch; whoever drives it takes the gradient of the objective, alone or beside a downstream loss.

    Attributes:
        optimizers: By name; ``generator`` moves all that enhances, the others belong to the adversaries.
            Their moments are private to the site.
    """

    optimizers: dict[str, NamedAdam]

    def forward(self, batch: Batch, step: int) -> _Pass:
        """Enhance the batch's LQ images.

        Args:
            batch: On the networks' device.
            step: Of the phase; decides all that is drawn at random.
        """
        ...

    def update_adversaries(self, batch: Batch, enhanced: _Pass) -> Losses:
        """Take the step of all that is adversarial; return its losses, detached scalars."""
        ...

    def objective(self, batch: Batch, enhanced: _Pass) -> tuple[Tensor, Losses]:
        """Return L_e, a scalar with its gradient, and its parts, detached."""
        ...

    def private_tensors(self) -> dict[str, Tensor]:
        """Return what the next steps depend on beside parameters and moments; it never leaves the site."""
        ...

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore :meth:`private_tensors`; an empty mapping begins afresh."""
        ...


class Downstream(Protocol):
    """A downstream network in training: Theta of Eq. 14, with its own loss.

    Attributes:
        name: Of its loss in logs.
        label: What its loss needs.
    """

    name: str
    label: Label

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Return L_d, a scalar whose gradient reaches network and images.

        Args:
            images: ``(B, C, H, W)``, with or without gradient.
            target: Masks ``(B, 1, H, W)`` of 0 and 1, or grades ``(B,)`` int64, as ``label`` says.
        """
        ...

    def prediction(self, images: Tensor) -> Tensor:
        """Return probabilities of images (B, C, H, W): (B, 1, H, W) of foreground, or (B, 4) of grades."""
        ...
