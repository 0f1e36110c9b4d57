"""Judging a model under many guides: every image is encoded once and decoded with each guide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hqgnet.data.site_data import EvaluationItem, SiteData
from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.evaluation import Judged, score
from hqgnet.metrics.quality import QualityClassifier
from hqgnet.model_file import Model
from hqgnet.networks.build import HqgNetworks
from hqgnet.robustness.guides import Condition, Guide, fixed_guide, vectors_of
from hqgnet.scores import Row, SiteScores
from hqgnet.site_quality import site_quality

Watch = Callable[[Iterable[EvaluationItem], int], Iterable[EvaluationItem]]


@dataclass(frozen=True)
class Study:
    """What came of it.

    Attributes:
        conditions: Sets of guides, in order.
        rows: Figures of original and enhanced images, by guide: means over the images.
        cue_distance: |v_z - v| / |v| by guide, v the cue of the fixed guide: how far the cue itself moved.
        fixed: The fixed guide; its row is there whether it was asked for or not.
        images: Judged.
    """

    conditions: tuple[Condition, ...]
    rows: dict[Guide, Row]
    cue_distance: dict[Guide, float]
    fixed: Guide
    images: int


def guided_networks(model: Model, where: str) -> HqgNetworks:
    """Return a model's networks if HQ images guide them.

    Raises:
        ConfigurationError: If not.
    """
    networks = model.networks
    if isinstance(networks, HqgNetworks) and networks.guidance_size:
        return networks
    what = "takes no guide, by its method or its ablation.guidance"
    raise ConfigurationError(Problem(where, what, "Leave --guides out, or take a model that is guided"))


def study(
    model: Model,
    networks: HqgNetworks,
    data: SiteData,
    conditions: Sequence[Condition],
    split: str,
    seed: int,
    device: torch.device,
    watch: Watch = lambda items, count: items,
) -> Study:
    """Judge a site's LQ images under all guides; one that several conditions share is used once.

    Args:
        model: Of the site's modality and channels, on ``device``, in evaluation mode.
        networks: The model's, from :func:`guided_networks`.
        data: The site.
        conditions: From :func:`hqgnet.robustness.guides.gather`.
        split: ``"validation"`` or ``"test"``.
        seed: Of noise.
        device: Where to compute.
        watch: Is given the images and how many they are, and hands them on: shows the progress.

    Raises:
        DataError: If the split is empty, or an image cannot be read.
    """
    if not data.lq[split]:
        remedy = "Take another --split, or give the split more patients in the site file"
        raise DataError(Problem(f"site {data.config.name}: split {split}", "holds no LQ image", remedy))
    fixed = fixed_guide(data)
    guides = dict.fromkeys([fixed, *(guide for condition in conditions for guide in condition.guides)])
    vectors = vectors_of(list(guides), model, device, seed)
    metrics = model.experiment.metrics
    quality = site_quality(data) if "s_hq" in metrics else None
    scores = _scores(model, networks, data, vectors, split, metrics, quality, watch)
    reference = vectors[fixed]
    distances = {
        guide: float((vector - reference).norm() / reference.norm().clamp_min(1e-12))
        for guide, vector in vectors.items()
    }
    rows = {guide: sums.row() for guide, sums in scores.items()}
    return Study(tuple(conditions), rows, distances, fixed, len(data.lq[split]))


@torch.inference_mode()
def _scores(
    model: Model,
    networks: HqgNetworks,
    data: SiteData,
    vectors: Mapping[Guide, Tensor],
    split: str,
    metrics: Sequence[str],
    quality: QualityClassifier | None,
    watch: Watch,
) -> dict[Guide, SiteScores]:
    """Return the sums over all images by guide."""
    grades = networks.task_kind == "grading"
    scores = dict.fromkeys(vectors, SiteScores())
    items = data.evaluation_items(split, model.experiment.image_size)
    for item in watch(items, len(data.lq[split])):
        original = item.lq.unsqueeze(0).to(next(iter(vectors.values())).device)
        encoded = networks.generator.encode(original)
        has_label = item.grade is not None if grades else item.mask is not None
        predicts = model.task_trained and has_label
        before = {"original": networks.predict(original).cpu()} if predicts else {}
        for guide, vector in vectors.items():
            enhanced = networks.generator.decode(encoded, vector).float().clamp(0, 1)
            after = {"enhanced": networks.predict(enhanced).cpu()} if predicts else {}
            said = before | after
            judged = Judged(item, enhanced.cpu(), {} if grades else said, said if grades else {})
            scores[guide] = scores[guide] + score(judged, data.config.modality, metrics, quality)
    return scores
