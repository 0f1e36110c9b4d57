"""The losses of HQG-Net (arXiv 2307.07829, Section III) as small functions and callables on batches in [0,
1].

They compute in float32 even under autocast: differences of near-equal numbers are what most of them measure.
"""

from hqgnet.losses.adversarial import AdversarialLoss
from hqgnet.losses.feature_consistency import cosine, feature_consistency_loss
from hqgnet.losses.objective import (
    EnhancementWeights,
    content_aware,
    cooperative_objective,
    enhancement_objective,
)
from hqgnet.losses.reconstruction import ReconstructionLoss
from hqgnet.losses.task import segmentation_loss
from hqgnet.losses.wavelet import HaarLoss, haar_details

__all__ = [
    "AdversarialLoss",
    "EnhancementWeights",
    "HaarLoss",
    "ReconstructionLoss",
    "content_aware",
    "cooperative_objective",
    "cosine",
    "enhancement_objective",
    "feature_consistency_loss",
    "haar_details",
    "segmentation_loss",
]
