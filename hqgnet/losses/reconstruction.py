"""Reconstruction loss of the autoencoder that pretrains the cue extractor."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.losses.precision import full_precision, without_autocast

SMALLEST_SIDE = 11
"""Side in pixels of SSIM's Gaussian window; smaller images have no SSIM."""


class ReconstructionLoss:
    """Mean squared error plus 1 - SSIM, by which the paper pretrains G.

    SSIM is MONAI's ``SSIMLoss``: Gaussian window of 11x11 pixels and sigma 1.5.
    """

    def __init__(self) -> None:
        from monai.losses.ssim_loss import SSIMLoss  # slow to import: only pretraining pays for it

        self._dissimilarity = SSIMLoss(spatial_dims=2, data_range=1.0)

    def __call__(self, reconstructed: Tensor, images: Tensor) -> Tensor:
        """Loss between two batches.

        Args:
            reconstructed: (B, C, H, W) in [0, 1].
            images: (B, C, H, W) in [0, 1].

        Returns:
            Scalar >= 0.

        Raises:
            ConfigurationError: A side is shorter than 11 pixels. The window is not shrunk to fit, as the loss
                would then mean another thing at another size.
            ValueError: The shapes differ.
        """
        if reconstructed.shape != images.shape:
            raise ValueError(
                f"reconstructed {tuple(reconstructed.shape)} and images {tuple(images.shape)} differ in shape"
            )
        height, width = images.shape[-2:]
        if min(height, width) < SMALLEST_SIDE:
            what = (
                f"images of {height}x{width} pixels are smaller than SSIM's window of {SMALLEST_SIDE} pixels"
            )
            raise ConfigurationError(Problem("data: image size", what, "Train on larger images."))
        # SSIM subtracts local means of squares: half precision leaves nothing of the variances.
        reconstructed, images = full_precision(reconstructed), full_precision(images)
        with without_autocast(images):
            dissimilarity: Tensor = self._dissimilarity(reconstructed, images)
        return F.mse_loss(reconstructed, images) + dissimilarity
