"""Judging a model on one site's images: original against enhanced, at the size it was trained at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from hqgnet.config import Modality
from hqgnet.data.site_data import EvaluationItem, SiteData
from hqgnet.data.writing import write_png
from hqgnet.guidance import guidance_of
from hqgnet.metrics.classification import ClassificationSums, classification_update
from hqgnet.metrics.measuring import Companions, measure
from hqgnet.metrics.names import GRADING, QUALITY_AUC, SEGMENTATION, Reason, metrics_of
from hqgnet.metrics.no_reference import field_of_view
from hqgnet.metrics.quality import QualityClassifier
from hqgnet.metrics.segmentation import SegmentationSums, segmentation_update
from hqgnet.metrics.sums import MeanSums
from hqgnet.networks import Networks
from hqgnet.scores import SiteScores
from hqgnet.site_quality import site_quality

_WITH_BORDER: tuple[Modality, ...] = ("fundus", "colonoscopy")
"""Whose cameras leave a black border around what they see."""


@dataclass(frozen=True)
class Judged:
    """One image as the model sees and gives it, all ``(1, C, H, W)`` in [0, 1] on the CPU.

    Attributes:
        item: Original, mask and twin.
        enhanced: The model's output.
        probability: Downstream prediction ``(1, 1, H, W)`` on original and enhanced image, by version; may be
            empty.
        grades: The same of a network that grades: probabilities of the levels ``(1, 4)``.
    """

    item: EvaluationItem
    enhanced: Tensor
    probability: dict[str, Tensor]
    grades: dict[str, Tensor] = field(default_factory=dict)


@torch.inference_mode()
def judge(
    networks: Networks,
    data: SiteData,
    guidance: Tensor | None,
    image_size: int,
    split: str,
    *,
    with_task: bool,
) -> Iterator[Judged]:
    """Enhance a split's LQ images, one by one.

    Args:
        networks: Put in evaluation mode.
        data: The site.
        guidance: v_z, ``(1, 64)``, or a pool of guides ``(P, 64)`` of which each image gets one; None for a
            method that takes none.
        image_size: Longer side at which to run, in pixels.
        split: ``"validation"`` or ``"test"``.
        with_task: Whether to run the downstream network; it must have been trained.
    """
    networks.eval()
    device = networks.device
    for item in data.evaluation_items(split, image_size):
        original = item.lq.unsqueeze(0).to(device)
        enhanced = networks.enhance(original, guidance_of(guidance, item.index)).float().clamp(0, 1)
        grades = networks.task_kind == "grading"
        has_label = item.grade is not None if grades else item.mask is not None
        versions = {"original": original, "enhanced": enhanced} if with_task and has_label else {}
        said = {name: networks.predict(image).cpu() for name, image in versions.items()}
        yield Judged(item, enhanced.cpu(), {} if grades else said, said if grades else {})


def evaluate_site(
    networks: Networks,
    data: SiteData,
    guidance: Tensor | None,
    image_size: int,
    split: str,
    *,
    with_task: bool,
    metrics: Sequence[str] | None = None,
) -> SiteScores:
    """Return a site's scores on one split; see :func:`judge` for the arguments.

    Args:
        metrics: Names of image metrics; those of the site's modality if not given. For S_HQ the site's own
            quality classifier is trained, once.

    Raises:
        DataError: If a file has gone bad since the site was opened, one of the classifier's training or
            held-out images included.
    """
    metrics = metrics_of(data.config.modality) if metrics is None else metrics
    quality = site_quality(data) if "s_hq" in metrics else None
    scores = SiteScores()
    for judged in judge(networks, data, guidance, image_size, split, with_task=with_task):
        scores = scores + score(judged, data.config.modality, metrics, quality)
    if quality is not None and quality.held_out_auc is not None and scores.images:
        # The site's policy holds the count against its minimum: either kind must have so many images.
        held_out = MeanSums.of([quality.held_out_auc] * min(quality.held_out))
        scores = replace(scores, means={**scores.means, QUALITY_AUC: held_out})
    return scores


def score(
    judged: Judged,
    modality: Modality,
    metrics: Sequence[str] | None = None,
    quality: QualityClassifier | None = None,
) -> SiteScores:
    """Return the scores of one image.

    Metrics without reference are taken inside the original's field of view of a fundus photograph or a
    colonoscopy frame, so that the black border does not count; an image without a border counts as a whole.

    What an image has no figure of is counted as undefined, with the reason. A metric of the image, or a
    prediction, that one version lacks is undefined for both: the gain from original to enhanced is then over
    the same images.

    Args:
        judged: The image.
        modality: Of the site.
        metrics: Names of image metrics; those of the modality if not given.
        quality: For S_HQ.
    """
    item = judged.item
    images = {"original": item.lq, "enhanced": judged.enhanced[0]}
    view = field_of_view(item.lq.unsqueeze(0))[0] if modality in _WITH_BORDER else None
    beside = Companions(item.twin, item.mask, view, quality)
    means: dict[str, MeanSums] = {}
    reasons: dict[str, frozenset[Reason]] = {}
    for metric in metrics_of(modality) if metrics is None else metrics:
        found = {version: measure(metric, image, beside) for version, image in images.items()}
        lacking = frozenset(figure for figure in found.values() if isinstance(figure, Reason))
        reasons |= {metric: lacking} if lacking else {}
        for version, figure in found.items():
            means[f"{metric}_{version}"] = MeanSums(undefined=1) if lacking else MeanSums.of([figure])
    segmentation, no_segmentation = _segmentation(item.mask, judged.probability)
    grading, no_grading = _grading(item.grade, judged.grades)
    reasons |= {SEGMENTATION: frozenset({no_segmentation})} if no_segmentation else {}
    reasons |= {GRADING: frozenset({no_grading})} if no_grading else {}
    return SiteScores(1, means, segmentation, grading, reasons)


def _segmentation(
    mask: Tensor | None, said: Mapping[str, Tensor]
) -> tuple[dict[str, SegmentationSums], Reason | None]:
    """Return the counts by version, and why a figure is undefined; None if all are defined."""
    if mask is None:
        return {}, Reason.NO_MASK
    if not said:
        return {}, Reason.NO_TASK
    paired = _finite_or_undefined(said)
    sums = {version: segmentation_update(one, mask.unsqueeze(0)) for version, one in paired.items()}
    if paired is not said:
        return sums, Reason.NOT_FINITE
    is_whole = not any(figure.undefined for one in sums.values() for figure in one.per_image.values())
    return sums, None if is_whole else Reason.NOTHING


def _grading(
    grade: int | None, said: Mapping[str, Tensor]
) -> tuple[dict[str, ClassificationSums], Reason | None]:
    """Return the counts by version, and why the level is undefined; None if it is defined."""
    if grade is None:
        return {}, Reason.NO_GRADE
    if not said:
        return {}, Reason.NO_TASK
    paired, truth = _finite_or_undefined(said), torch.tensor([grade])
    sums = {version: classification_update(one, truth) for version, one in paired.items()}
    return sums, None if paired is said else Reason.NOT_FINITE


def _finite_or_undefined(said: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the predictions as they are; all NaN, which counts as undefined, if one is not finite."""
    if all(bool(prediction.isfinite().all()) for prediction in said.values()):
        return said
    return {version: torch.full_like(prediction, torch.nan) for version, prediction in said.items()}


def write_pictures(
    networks: Networks,
    data: SiteData,
    guidance: Tensor | None,
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
