"""How the losses add up: content-aware (Eq. 9), enhancement (Eq. 11) and cooperative objective (Eq. 15)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem


@dataclass(frozen=True)
class EnhancementWeights:
    """Weights of the enhancement objective; the defaults are the paper's.

    Attributes:
        feature_consistency: lambda_1 of Eq. 9.
        adversarial: lambda_2 of Eq. 11.
        structure: Of L_Haar in Eq. 9, which the paper takes as it is.

    Raises:
        ConfigurationError: A weight is negative or not finite.
    """

    feature_consistency: float = 10.0
    adversarial: float = 1.0
    structure: float = 1.0

    def __post_init__(self) -> None:
        """Refuse negative and infinite weights."""
        problems = [
            Problem(f"losses: {field.name}", f"weight {value}", "Give a finite number, 0 or more.")
            for field in fields(self)
            if not (math.isfinite(value := getattr(self, field.name)) and value >= 0)
        ]
        if problems:
            raise ConfigurationError(problems)


def content_aware(haar: Tensor, feature_consistency: Tensor, weights: EnhancementWeights) -> Tensor:
    """L_CA = L_Haar + lambda_1 L_FC (Eq. 9), of scalars; L_Haar by its own weight, 1 in the paper."""
    return weights.structure * haar + weights.feature_consistency * feature_consistency


def enhancement_objective(
    haar: Tensor, feature_consistency: Tensor, adversarial: Tensor, weights: EnhancementWeights
) -> Tensor:
    """L_e = L_CA + lambda_2 L_GAN (Eq. 11), of scalars; ``adversarial`` is the generator's side of Eq. 10."""
    return content_aware(haar, feature_consistency, weights) + weights.adversarial * adversarial


def cooperative_objective(downstream: Tensor, enhancement: Tensor, enhancement_weight: float = 5.0) -> Tensor:
    """L_d + lambda_3 L_e (Eq. 15), of scalars; lambda_3 weighs the enhancement, not the downstream task.

    One backward pass gives Eq. 17 and 18 when ``downstream`` was computed on the enhanced image without
    detaching it: the generator then receives the gradient of both terms, the downstream network that of its
    own.
    """
    return downstream + enhancement_weight * enhancement
