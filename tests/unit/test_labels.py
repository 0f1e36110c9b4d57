"""Masks where grades are needed, and the reverse: refused before a run, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqgnet.config import Experiment
from hqgnet.data.site_config import ImageFolders, SiteConfig
from hqgnet.labels import label_problems

ROUND = {"rounds": 1, "steps": 1}
GRADER = {"network": "deepgrading", "task": "grading"}
ALONE = {"enhancer_trained_in_cooperate": False}


def experiment(rounds: int = 1, **downstream: Any) -> Experiment:
    phases = {"pretrain": ROUND, "enhance": ROUND, "cooperate": {"rounds": rounds, "steps": 1}}
    mapping = {"name": "labels", "modality": "ccm", "channels": 1, "phases": phases}
    return Experiment.model_validate(mapping | {"downstream": downstream})


def site(*labels: str) -> SiteConfig:
    folders = {label: Path(label) for label in labels}
    return SiteConfig(
        name="site-1",
        modality="ccm",
        channels=1,
        images=ImageFolders(lq=Path("lq"), hq=Path("hq"), **folders),
    )


@pytest.mark.parametrize(
    ("wanted", "sites", "needed", "remedy"),
    [
        (experiment(**GRADER), [site("masks")], "grades", "downstream.network to csnet or pnsnet"),
        (experiment(), [site("grades"), site()], "masks", "downstream.network to deepgrading"),
        (experiment(**ALONE), [site()], "masks", "phases.cooperate.rounds to 0"),
    ],
)
def test_labels_of_the_other_kind_are_refused(
    wanted: Experiment, sites: list[SiteConfig], needed: str, remedy: str
) -> None:
    (problem,) = label_problems(sites, wanted, "experiment.yaml")
    assert problem.where == "experiment.yaml: downstream"
    assert f"no site file names images.{needed}" in problem.what
    assert (
        problem.remedy.startswith(f"Give images.{needed} in a site file, or set ")
        and remedy in problem.remedy
    )


@pytest.mark.parametrize(
    ("wanted", "sites"),
    [
        (experiment(**GRADER), [site("masks"), site("grades")]),
        (experiment(), [site("masks", "grades")]),
        (experiment(), [site()]),
        (experiment(rounds=0), [site("grades")]),
        (experiment(trained_in_cooperate=False, weights="w"), [site("grades")]),
    ],
)
def test_what_can_be_trained_is_accepted(wanted: Experiment, sites: list[SiteConfig]) -> None:
    assert label_problems(sites, wanted, "experiment.yaml") == []
