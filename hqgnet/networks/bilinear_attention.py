"""Bilinear attention: which channels count, told from how they occur together (Mou et al., DeepGrading).

Bilinear pooling is that of Lin et al. (arXiv 1504.07889).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TINY = 1e-12


class BilinearAttention(nn.Module):
    """Weigh channels by the second moments of the features.

    The C x C moments, averaged over positions, go through a signed square root, L2 normalisation, a linear
    layer to C, ReLU and sigmoid; the result a, in [0.5, 1), gives ``x + x a``.

    Args:
        width: Channels C.
        rank: ``None`` for the full layer of C^3 weights (134 million for the published 512). Otherwise the
            features are first mapped to so many channels, hence each of the C forms that the layer evaluates
            has at most this rank.
    """

    def __init__(self, width: int, rank: int | None = None) -> None:
        super().__init__()
        self.reduce: nn.Module = nn.Identity() if rank is None else nn.Conv2d(width, rank, 1, bias=False)
        self.fc = nn.Linear((width if rank is None else rank) ** 2, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W), each channel times 1 + a."""
        return features * (1 + self.weights(features)[:, :, None, None])

    def weights(self, features: Tensor) -> Tensor:
        """Return the attention a (B, C) of features (B, C, H, W)."""
        flat = self.reduce(features).flatten(2)
        moments = (flat @ flat.transpose(1, 2) / flat.shape[2]).flatten(1)
        # The root has an infinite slope at 0, where whole rows lie that ReLU has silenced.
        rooted = moments.sign() * (moments.abs() + _TINY).sqrt()
        return torch.sigmoid(F.relu(self.fc(F.normalize(rooted, dim=1))))
