"""The losses of HQG-Net (arXiv 2307.07829, Section III) and of its learned peers, as small functions and
callables on batches in [0, 1].

They compute in float32 even under autocast: differences of near-equal numbers are what most of them measure.
"""

from hqgnet.losses.adversarial import AdversarialLoss
from hqgnet.losses.feature_consistency import (
    cosine,
    feature_consistency_loss,
    feature_map_consistency_loss,
    gram_distance,
)
from hqgnet.losses.illumination import illumination_loss
from hqgnet.losses.objective import (
    EnhancementWeights,
    content_aware,
    cooperative_objective,
    enhancement_objective,
)
from hqgnet.losses.reconstruction import ReconstructionLoss
from hqgnet.losses.relativistic import relativistic_loss
from hqgnet.losses.self_feature import self_feature_loss
from hqgnet.losses.structure import structure_loss
from hqgnet.losses.task import grading_loss, segmentation_loss
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
    "feature_map_consistency_loss",
    "grading_loss",
    "gram_distance",
    "haar_details",
    "illumination_loss",
    "relativistic_loss",
    "segmentation_loss",
    "self_feature_loss",
    "structure_loss",
]
