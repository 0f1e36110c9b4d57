"""What a reader must know before the figures: the images, the budget, and what makes it fair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hqgnet.ablation.stages import PRETRAINING_SHARE, Planned, pretraining_steps, rounds_and_steps
from hqgnet.ablation.tables import Table
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.robustness.guides import DRAWS

UNSPREAD = "No ± beside figures in which no training has a part: they are the same for every seed."
_SILENT = ("learning_rate", "betas", "adversarial")


def head(
    table: Table,
    experiment: Experiment,
    budget: int,
    data: Sequence[SiteData],
    planned: Sequence[Planned],
) -> list[str]:
    """Return the lines above a table.

    Args:
        table: Which.
        experiment: On which the rows lay their changes.
        budget: Steps.
        data: The sites.
        planned: What is finished.
    """
    return list(_lines(table, experiment, budget, data, planned))


def _lines(
    table: Table,
    experiment: Experiment,
    budget: int,
    data: Sequence[SiteData],
    planned: Sequence[Planned],
) -> Iterator[str]:
    seeds = sorted({one.seed for one in planned})
    names = ", ".join(site.config.name for site in data)
    lq, hq, test = (
        sum(len(images[split]) for images in (getattr(site, kind) for site in data))
        for kind, split in (("lq", "train"), ("hq", "train"), ("lq", "test"))
    )
    yield (
        f"{experiment.name}: {experiment.modality}, {experiment.image_size} pixels, preset "
        f"{experiment.preset}; sites {names}, pooled: {lq} LQ and {hq} HQ training images; judged on "
        f"{test} LQ test images; {'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}."
    )
    if len(seeds) > 1 and any(_is_fixed(one, table) for one in planned):
        yield UNSPREAD
    yield from _training(table, experiment, budget, planned)
    if any(metric.endswith("_image") for metric in table.metrics[experiment.modality]):
        yield "Figures of segmentation beside the paper's are means over images; pooled ones are over pixels."
    yield "The paper's figures are of its own images and budget: compare differences between rows, not cells."


def _is_fixed(planned: Planned, table: Table) -> bool:
    """Return whether what a table tells of a row is the same for every seed."""
    return planned.stage is None or (planned.row.has_fixed_images and table.judges == "images")


def _training(table: Table, experiment: Experiment, budget: int, planned: Sequence[Planned]) -> Iterator[str]:
    kinds = {stage.kind for one in planned for stage in one.stages}
    training = experiment.training
    if "enhance" in kinds:
        rounds, steps = rounds_and_steps(budget, experiment.phases.enhance.steps)
        yield (
            f"Every enhancer: {budget} steps ({rounds} x {steps}), {training.batch_size} LQ images each; "
            f"before them {pretraining_steps(budget)} of pretraining (1/{PRETRAINING_SHARE}) where a method "
            "has a cue extractor or a feature network to pretrain."
        )
    if "downstream" in kinds:
        yield (
            f"Every downstream network ({experiment.downstream.network}): {budget} steps, on images as they "
            "are (Original) or of the finished, frozen enhancer."
        )
    if "joint" in kinds:
        yield (
            f'"+": begins with the same enhancer and goes on for {budget} steps jointly with the downstream '
            "network (Eq. 15), with its adversaries: so its enhancer has had twice the steps."
        )
    if experiment.downstream.weights is not None and not experiment.downstream.trained_in_cooperate:
        yield f"A finished downstream network judges every row: {experiment.downstream.weights}."
    elif "dice_image" in table.metrics[experiment.modality] and kinds == {"enhance"}:
        yield "Dice: no downstream network is trained for this table; --with-downstream trains one a row."
    if kinds:
        given = [name for name in _SILENT if name in training.model_fields_set]
        shared = f"{', '.join(given)} as the experiment gives; " if given else ""
        yield (
            f"Learning: {shared}what the experiment leaves out is each method's own, but for the batch size. "
            "The last weights are judged; none are chosen by validation images."
        )
    decay = experiment.federation.server_average
    if kinds and decay:
        yield f"Weights are averaged over rounds (federation.server_average {decay:g})."
    if table.noises:
        yield f"Noise is on the fixed guide, {DRAWS} drawings of each strength; the paper has curves only."
