"""Metrics give a figure an image; ``MeanSums`` and ``SegmentationSums`` pool them exactly across sites."""

from hqgnet.metrics.full_reference import psnr, ssim
from hqgnet.metrics.no_reference import average_gradient, entropy, field_of_view
from hqgnet.metrics.segmentation import SegmentationSums, segmentation_update
from hqgnet.metrics.snr import snr
from hqgnet.metrics.sums import MeanSums

__all__ = [
    "MeanSums",
    "SegmentationSums",
    "average_gradient",
    "entropy",
    "field_of_view",
    "psnr",
    "segmentation_update",
    "snr",
    "ssim",
]
