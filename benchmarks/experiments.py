"""Experiments of which benchmarks take networks and losses."""

from __future__ import annotations

from typing import Any

from hqgnet.config import Experiment


def experiment_of(preset: str, method: str = "hqgnet", **others: Any) -> Experiment:
    """Return an experiment on colour images with the defaults of its method.

    Args:
        preset: Of the networks.
        method: Whose networks and losses.
        others: Further keys of the experiment.
    """
    # StillGAN has nothing to pretrain; EnlightenGAN must.
    rounds = {"pretrain": int(method != "stillgan"), "enhance": 1, "cooperate": 0}
    phases = {name: {"rounds": count, "steps": 1} for name, count in rounds.items()}
    given = {"name": "speed", "modality": "fundus", "channels": 3, "preset": preset, "phases": phases}
    return Experiment.model_validate(given | {"method": method} | others)
