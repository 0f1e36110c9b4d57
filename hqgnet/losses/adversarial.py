"""The adversarial game between generator and discriminator (Eq. 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.losses.precision import full_precision

AdversarialKind = Literal["bce", "lsgan"]


@dataclass(frozen=True)
class AdversarialLoss:
    """Losses of discriminator and generator on patch logits (Eq. 10).

    Eq. 10 prints E_dis(y), the LQ image, as real; read so, the generator would be taught to make LQ images.
    Real is the HQ image here.

    Attributes:
        kind: ``bce`` for the standard game with the non-saturating generator loss (arXiv 1406.2661),
            ``lsgan`` for least squares with labels 1 and 0 (arXiv 1611.04076).

    Raises:
        ConfigurationError: The kind is neither.
    """

    kind: AdversarialKind = "bce"

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in get_args(AdversarialKind):
            known = ", ".join(get_args(AdversarialKind))
            problem = Problem(
                "losses: adversarial kind", f"unknown kind '{self.kind}'", f"Choose one of {known}."
            )
            raise ConfigurationError(problem)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss of the discriminator: the sum of its mistakes on HQ and on enhanced images.

        Args:
            real_logits: (B, 1, h, w) on HQ images.
            fake_logits: (B, 1, h, w) on enhanced images, computed from detached images.

        Returns:
            Scalar >= 0; 2 log 2 (``bce``) or 1 (``lsgan``) for logits of 0.
        """
        return self._mistake(real_logits, real=True) + self._mistake(fake_logits, real=False)

    def generator(self, fake_logits: Tensor) -> Tensor:
        """Loss of the generator: how far the discriminator is from taking enhanced images for real.

        Args:
            fake_logits: (B, 1, h, w) on enhanced images, with the gradient to the generator.

        Returns:
            Scalar >= 0; log 2 (``bce``) or 1 (``lsgan``) for logits of 0.
        """
        return self._mistake(fake_logits, real=True)

    def _mistake(self, logits: Tensor, real: bool) -> Tensor:
        logits = full_precision(logits)
        if self.kind == "lsgan":
            return (logits - float(real)).square().mean()
        return F.softplus(-logits if real else logits).mean()
