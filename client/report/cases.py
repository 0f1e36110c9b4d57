"""All images of a split, judged one by one; pictures are kept of the worst only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from client.report.ordering import SortKey, sort_key
from client.report.pictures import Pictures, draw
from hqgnet.config import Experiment
from hqgnet.data.site_files import Sample
from hqgnet.downstream_config import Task
from hqgnet.evaluation import Judged, score
from hqgnet.metrics.names import FULL_REFERENCE, GRADING, REASON_TEXTS, SEGMENTATION, Reason
from hqgnet.metrics.quality import QualityClassifier
from hqgnet.report.figures import finite
from hqgnet.scores import Row, SiteScores

_OF_IMAGE: dict[Task, tuple[str, ...]] = {"segmentation": ("dice", "auc"), "grading": ("grade_acc",)}
_OF_ALL: dict[Task, tuple[str, ...]] = {"segmentation": ("dice", "auc"), "grading": ("grade_f1",)}
_COUNTED_BY = {"dice": SEGMENTATION, "auc": SEGMENTATION, "grade_acc": GRADING}


@dataclass(frozen=True)
class Case:
    """One image.

    Attributes:
        number: In its split, from 1.
        sample: Its files.
        row: Its figures.
        missing: Why it has no figure, by metric.
        key: Where it stands among the cases.
    """

    number: int
    sample: Sample
    row: Row
    missing: dict[str, str]
    key: SortKey


@dataclass(frozen=True)
class Cases:
    """A split.

    Attributes:
        metrics: That are asked of every image.
        of_all: Figures of the downstream network that all images have together.
        cases: All images, worst first.
        pictures: Of the worst, by number.
        scores: Of all images together.
    """

    metrics: tuple[str, ...]
    of_all: tuple[str, ...]
    cases: list[Case]
    pictures: dict[int, Pictures]
    scores: SiteScores


def gather(
    images: Iterable[Judged], experiment: Experiment, quality: QualityClassifier | None, *, pictures: int
) -> Cases:
    """Judge all images, and draw the worst.

    Args:
        images: From :func:`hqgnet.evaluation.judge`.
        experiment: The model's: says which metrics are taken, and what its downstream network does.
        quality: The site's own classifier, for S_HQ.
        pictures: How many to draw at most.
    """
    task = experiment.downstream.task
    first = [name for name in experiment.metrics if name in FULL_REFERENCE]
    metrics = (*first, *_OF_IMAGE[task], *(name for name in experiment.metrics if name not in first))
    cases: list[Case] = []
    drawn: dict[int, Pictures] = {}
    total = SiteScores()
    for judged in images:
        scores = score(judged, experiment.modality, experiment.metrics, quality)
        total = total + scores
        row = scores.row()
        missing = {
            metric: _reason(metric, scores)
            for metric in metrics
            if finite(row.get(f"{metric}_original")) is None or finite(row.get(f"{metric}_enhanced")) is None
        }
        case = Case(judged.item.index + 1, judged.item.sample, row, missing, sort_key(row))
        cases.append(case)
        cases.sort(key=lambda one: (one.key, one.number))
        # Pictures of those that fell out are dropped at once: a site may have thousands of images.
        worst = {one.number for one in cases[:pictures]}
        if case.number in worst:
            drawn[case.number] = draw(judged)
        drawn = {number: shown for number, shown in drawn.items() if number in worst}
    return Cases(metrics, _OF_ALL[task], cases, drawn, total)


def _reason(metric: str, scores: SiteScores) -> str:
    gap = scores.gaps().get(_COUNTED_BY.get(metric, metric))
    return gap.text if gap else REASON_TEXTS[Reason.NOTHING]
