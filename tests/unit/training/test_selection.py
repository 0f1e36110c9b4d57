"""Choosing a model: whether its downstream network has learned anything, and is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.networks import networks_of
from hqgnet.training.selection import task_is_trained, tune
from tests.unit.training.systems import CPU, edited


@pytest.fixture
def unlabelled(tiny_sites: list[SiteData]) -> SiteData:
    site = tiny_sites[0]
    lq = {split: tuple(replace(one, mask=None) for one in samples) for split, samples in site.lq.items()}
    return replace(site, lq=lq)


def without_cooperate(experiment: Experiment) -> Experiment:
    phases = experiment.model_dump()["phases"]
    return edited(experiment, phases=phases | {"cooperate": {"rounds": 0, "steps": 1}})


def test_masks_and_a_phase_teach_the_segmentor(
    tiny_experiment: Experiment, tiny_sites: list[SiteData], unlabelled: SiteData
) -> None:
    assert task_is_trained(tiny_experiment, tiny_sites)
    assert task_is_trained(tiny_experiment, [unlabelled, tiny_sites[1]])
    assert not task_is_trained(tiny_experiment, [unlabelled])
    alone = without_cooperate(tiny_experiment)
    assert not task_is_trained(alone, tiny_sites)
    taught = alone.downstream.model_copy(update={"weights": "segmentor.safetensors"})
    assert task_is_trained(alone.model_copy(update={"downstream": taught}), [unlabelled])


@pytest.mark.parametrize("trained", [True, False])
def test_a_segmentor_that_came_trained_stays_so_without_masks(
    trained: bool, tiny_experiment: Experiment, unlabelled: SiteData
) -> None:
    model = networks_of(tiny_experiment)
    chosen = tune(model, tiny_experiment, [unlabelled], CPU, 1, task_trained=trained)
    assert chosen.task_trained is trained
    before, after = model.task.state_dict(), chosen.networks.task.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_masks_teach_a_segmentor_that_came_untrained(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    model = networks_of(tiny_experiment)
    assert tune(model, tiny_experiment, tiny_sites[:1], CPU, 1, task_trained=False).task_trained
