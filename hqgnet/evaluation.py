"""Judging a model on one site's images: original against enhanced, at the size it was trained at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hqgnet.config import Modality
from hqgnet.data.site_data import EvaluationItem, SiteData
from hqgnet.data.writing import write_png
from hqgnet.metrics.full_reference import psnr, ssim
from hqgnet.metrics.no_reference import average_gradient, entropy, field_of_view
from hqgnet.metrics.segmentation import SegmentationSums, segmentation_update
from hqgnet.metrics.snr import snr
from hqgnet.metrics.sums import MeanSums
from hqgnet.networks import Networks
from hqgnet.scores import SiteScores

SNR_RADII = (3, 5, 7, 9)


@dataclass(frozen=True)
class Judged:
    """One image as the model sees and gives it, all ``(1, C, H, W)`` in [0, 1] on the CPU.

    Attributes:
        item: Original, mask and twin.
        enhanced: The model's output.
        probability: Downstream prediction ``(1, 1, H, W)`` on original and enhanced image, by version; may be
            empty.
    """

    item: EvaluationItem
    enhanced: Tensor
    probability: dict[str, Tensor]


@torch.inference_mode()
def judge(
    networks: Networks, data: SiteData, guidance: Tensor, image_size: int, split: str, *, with_task: bool
) -> Iterator[Judged]:
    """Enhance a split's LQ images, one by one.

    Args:
        networks: Put in evaluation mode.
        data: The site.
        guidance: v_z, ``(1, 64)``.
        image_size: Longer side at which to run, in pixels.
        split: ``"validation"`` or ``"test"``.
        with_task: Whether to run the downstream network; it must have been trained.
    """
    networks.eval()
    device = guidance.device
    for item in data.evaluation_items(split, image_size):
        original = item.lq.unsqueeze(0).to(device)
        enhanced = networks.generator(original, guidance).float().clamp(0, 1)
        versions = {"original": original, "enhanced": enhanced} if with_task and item.mask is not None else {}
        probability = {name: networks.task(image).float().sigmoid().cpu() for name, image in versions.items()}
        yield Judged(item, enhanced.cpu(), probability)


def evaluate_site(
    networks: Networks, data: SiteData, guidance: Tensor, image_size: int, split: str, *, with_task: bool
) -> SiteScores:
    """Return a site's scores on one split; see :func:`judge` for the arguments."""
    scores = SiteScores()
    for judged in judge(networks, data, guidance, image_size, split, with_task=with_task):
        scores = scores + score(judged, data.config.modality)
    return scores


def score(judged: Judged, modality: Modality) -> SiteScores:
    """Return the scores of one image.

    Average gradient and entropy of fundus images are taken inside the original's field of view, so that the
    black border does not count. Full-reference metrics need a clean twin, SNR_r (CCM) and segmentation need a
    mask.
    """
    item = judged.item
    images = {"original": item.lq.unsqueeze(0), "enhanced": judged.enhanced}
    view = field_of_view(images["original"]) if modality == "fundus" else None
    means: dict[str, MeanSums] = {}
    segmentation: dict[str, SegmentationSums] = {}
    for version, image in images.items():
        means[f"average_gradient_{version}"] = MeanSums.of(average_gradient(image, view))
        means[f"entropy_{version}"] = MeanSums.of(entropy(image, view))
        if item.twin is not None:
            twin = item.twin.unsqueeze(0)
            means[f"psnr_{version}"] = MeanSums.of(psnr(image, twin))
            means[f"ssim_{version}"] = MeanSums.of(ssim(image, twin))
        if item.mask is not None:
            mask = item.mask.unsqueeze(0)
            if modality == "ccm":
                for radius in SNR_RADII:
                    means[f"snr_{radius}_{version}"] = MeanSums.of(snr(image, mask, radius))
            if version in judged.probability:
                segmentation[version] = segmentation_update(judged.probability[version], mask)
    return SiteScores(1, means, segmentation)


def write_pictures(
    networks: Networks,
    data: SiteData,
    guidance: Tensor,
    image_size: int,
    folder: Path,
    count: int,
    *,
    with_task: bool,
) -> list[Path]:
    """Write before/after pictures of the first test images into the site's own folder.

    A picture shows, side by side: original, enhanced, and where there are such the clean twin, the downstream
    prediction on the enhanced image, and the mask. Names are numbers; no name of a patient's file is used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    judged_images = judge(networks, data, guidance, image_size, "test", with_task=with_task)
    for number, judged in zip(range(count), judged_images, strict=False):
        original, item = judged.item.lq, judged.item
        panels = [original, judged.enhanced[0]]
        panels += [item.twin] if item.twin is not None else []
        panels += [judged.probability["enhanced"][0]] if judged.probability else []
        panels += [item.mask] if item.mask is not None else []
        path = folder / f"test-{number:03d}.png"
        write_png(path, torch.cat([panel.expand(original.shape) for panel in panels], dim=2))
        written.append(path)
    return written
