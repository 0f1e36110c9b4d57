"""Small experiments of every kind, for tests of training."""

from __future__ import annotations

from typing import Any

import torch

from hqgnet.config import Experiment
from hqgnet.training.local import LocalTrainer

CPU = torch.device("cpu")

METHODS: dict[str, dict[str, Any]] = {
    "hqgnet": {},
    "stillgan": {"method": "stillgan", "stillgan": {"pool": 3}, "training": {"batch_size": 2}},
    "enlightengan": {"method": "enlightengan", "training": {"batch_size": 2}},
}


def edited(experiment: Experiment, **sections: Any) -> Experiment:
    """Return the experiment with other sections, checked again, without pretraining where there is none."""
    given = experiment.model_dump(exclude={"training"}) | {"training": {"batch_size": 2}} | sections
    unguided = given["ablation"].get("guidance", "hq") != "hq"
    if given["method"] == "stillgan" or unguided:
        given["phases"] = given["phases"] | {"pretrain": {"rounds": 0, "steps": 1}}
    return Experiment.model_validate(given)


def snapshot(trainer: LocalTrainer) -> dict[str, torch.Tensor]:
    """Return copies of all parameters and buffers."""
    return {name: value.clone() for name, value in trainer.state().items()}


def changed_groups(trainer: LocalTrainer, before: dict[str, torch.Tensor]) -> set[str]:
    """Return the groups of which some parameter or buffer has changed."""
    return {
        name.split(".")[0] for name, value in trainer.state().items() if not torch.equal(value, before[name])
    }
