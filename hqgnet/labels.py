"""Whether a site has what the experiment's downstream network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hqgnet.config import Experiment
from hqgnet.data.site_config import SiteConfig
from hqgnet.downstream_config import Label
from hqgnet.errors import Problem

_REMEDIES: dict[Label, str] = {
    "masks": "set downstream.network to csnet or pnsnet, and downstream.task to segmentation",
    "grades": "set downstream.network to deepgrading or one of your own, and downstream.task to grading",
}
"""What an experiment has to say to learn from labels that are there."""


class Labelled(Protocol):
    """A site's images, or what it tells of them."""

    @property
    def has_masks(self) -> bool:
        """Whether images to train on have masks."""
        ...

    @property
    def has_grades(self) -> bool:
        """Whether images to train on have grades."""
        ...


def has_labels(site: Labelled, experiment: Experiment) -> bool:
    """Return whether a site can train the downstream network: masks or grades, as its task needs."""
    return site.has_masks if experiment.downstream.label == "masks" else site.has_grades


def label_problems(configs: Sequence[SiteConfig], experiment: Experiment, where: str) -> list[Problem]:
    """Return why site files give a downstream network nothing to learn from; nothing if they do.

    A site without labels takes part with the enhancement loss, and so may all of them. Not so where there are
    labels of the other kind alone, which is a mistake, or where the downstream network alone is trained.

    Args:
        configs: All sites.
        experiment: What is to be trained.
        where: Said in the problems: the experiment's file.
    """
    downstream = experiment.downstream
    if not (experiment.phases.cooperate.rounds and downstream.trained_in_cooperate):
        return []
    needed = downstream.label
    other: Label = "grades" if needed == "masks" else "masks"
    if any(getattr(config.images, needed) is not None for config in configs):
        return []
    has_other = any(getattr(config.images, other) is not None for config in configs)
    if downstream.enhancer_trained_in_cooperate and not has_other:
        return []
    what = (
        f"{downstream.network} learns {downstream.task} from {needed}, and no site file names images.{needed}"
    )
    what += f" (there are {other})" if has_other else ""
    remedy = f"Give images.{needed} in a site file"
    remedy += f", or {_REMEDIES[other]}" if has_other else ", or set phases.cooperate.rounds to 0"
    return [Problem(f"{where}: downstream", what, remedy)]
