"""Whether a site has what the experiment's downstream network learns from."""

from __future__ import annotations

from typing import Protocol

from hqgnet.config import Experiment


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
