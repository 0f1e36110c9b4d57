"""S_HQ: the probability that an image is of high quality, by a classifier trained on a site's own images.

The paper takes it from MCF-Net, trained on EyeQ, whose weights cannot be had. Ours is a small network that
learns to tell a site's HQ from its LQ training images. Its figures depend on those images: compare them only
between images judged by the same classifier, and look first at how well it tells images it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from hqgnet.data.batches import UnpairedBatches
from hqgnet.data.reading import Channels, read_image
from hqgnet.data.site_data import SiteData
from hqgnet.data.transforms import letterbox, resize_longer_side

STEPS = 200
"""Steps of training; half of it tells fundus photographs apart, nerve images take all of it."""

_BATCH = 8
_WIDTHS = (16, 32, 64, 64)
_SIDES = (5, 3, 3, 3)
_RATE = 2e-3
_HELD_OUT = ("validation", "test")


class QualityNetwork(nn.Module):
    """Four blocks of strided convolution (5x5, then 3x3), group norm and ReLU; global averages; one logit.

    Args:
        channels: Image channels C, 1 or 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside, side in zip((channels, *_WIDTHS[:-1]), _WIDTHS, _SIDES, strict=True):
            layers += [
                nn.Conv2d(inside, outside, side, stride=2, padding=side // 2, bias=False),
                nn.GroupNorm(4, outside),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(_WIDTHS[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logit of high quality.

        Args:
            images: (B, C, S, S) in [0, 1].

        Returns:
            (B,).
        """
        pooled = self.features((images - 0.5) / 0.25).mean((2, 3))
        return cast(Tensor, self.head(pooled)).squeeze(1)


@dataclass(frozen=True)
class QualityClassifier:
    """A trained classifier, and how well it does on images that it has not seen.

    Attributes:
        network: In evaluation mode, on the CPU.
        channels: Image channels C, 1 or 3.
        image_size: Side S in pixels at which images are judged.
        held_out_auc: Chance that an HQ image of the validation and test splits gets a higher S_HQ than an LQ
            image of them; 0.5 is no better than a coin. None if there is not one of either.
        held_out: How many LQ and HQ images that was measured on.
    """

    network: QualityNetwork
    channels: Channels
    image_size: int
    held_out_auc: float | None
    held_out: tuple[int, int]


def train_quality_classifier(
    data: SiteData | Sequence[SiteData], image_size: int, seed: int, steps: int = STEPS
) -> QualityClassifier:
    """Train a classifier on the training images of one site, or of several pooled.

    The same data, size, seed and number of steps give the same classifier on the same machine.

    Args:
        data: One or more opened sites.
        image_size: Side S in pixels at which images are judged; 96 to 128 is enough to see blur and light.
        seed: Decides first weights, order and flips.
        steps: Steps of 8 LQ and 8 HQ images each.

    Raises:
        DataError: There is no LQ or HQ training image, the sites differ in channels, or a file has gone bad.
    """
    sites = (data,) if isinstance(data, SiteData) else tuple(data)
    batches = UnpairedBatches(sites, image_size, _BATCH, seed)
    channels = sites[0].config.channels
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = QualityNetwork(channels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    labels = torch.cat([torch.zeros(_BATCH), torch.ones(_BATCH)])
    for step in range(steps):
        batch = batches.batch("quality", step)
        loss = F.binary_cross_entropy_with_logits(network(torch.cat([batch.lq, batch.hq])), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    lq, hq = (_held_out(network, sites, name, image_size) for name in ("lq", "hq"))
    return QualityClassifier(network, channels, image_size, _auc(lq, hq), (len(lq), len(hq)))


def s_hq(classifier: QualityClassifier, images: Tensor) -> Tensor:
    """Probability of high quality of each image.

    Args:
        classifier: Trained on images of the same kind.
        images: (B, C, H, W) in [0, 1]; their longer side is resized to the classifier's.

    Returns:
        (B,) float64 in [0, 1], higher is better; NaN for an image with NaN.

    Raises:
        ValueError: Another number of channels.
    """
    if images.ndim != 4 or images.shape[1] != classifier.channels:
        raise ValueError(f"expected (B, {classifier.channels}, H, W), got {tuple(images.shape)}")
    if not len(images):
        return torch.zeros(0, dtype=torch.float64)
    prepared = torch.stack([_prepared(image, classifier.image_size) for image in images])
    with torch.no_grad():
        logits: Tensor = classifier.network(prepared)
    return logits.double().sigmoid()


def _prepared(image: Tensor, size: int) -> Tensor:
    """(C, H, W) to (C, size, size) float32 on the CPU, as images are for training."""
    return letterbox(resize_longer_side(image.detach().to("cpu", torch.float32), size), size)


def _held_out(network: QualityNetwork, sites: Sequence[SiteData], name: str, size: int) -> Tensor:
    """(N,) logits of the LQ or HQ images that are not for training."""
    logits = []
    with torch.no_grad():
        for site in sites:
            samples = site.lq if name == "lq" else site.hq
            for sample in (sample for split in _HELD_OUT for sample in samples[split]):
                image = _prepared(read_image(sample.path, site.config.channels), size)
                logits.append(network(image.unsqueeze(0)))
    return torch.cat(logits) if logits else torch.zeros(0)


def _auc(lq: Tensor, hq: Tensor) -> float | None:
    """Share of pairs in the right order, ties half: the rank sum of Mann and Whitney."""
    if not (len(lq) and len(hq)):
        return None
    ranks = stats.rankdata(torch.cat([lq, hq]).numpy())[len(lq) :]
    return float((ranks.sum() - len(hq) * (len(hq) + 1) / 2) / (len(lq) * len(hq)))
