"""Small changes are told by their size at first, and have grown a round later."""

from __future__ import annotations

import pytest

from benchmarks.sensitivity import measure
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData


@pytest.fixture
def experiment(tiny_experiment: Experiment) -> Experiment:
    """Two phases of a few steps."""
    phases = {
        "pretrain": {"rounds": 1, "steps": 4},
        "enhance": {"rounds": 1, "steps": 4},
        "cooperate": {"rounds": 0, "steps": 1},
    }
    return Experiment.model_validate(tiny_experiment.model_dump() | {"phases": phases})


def test_changes_by_phase(experiment: Experiment, tiny_sites: list[SiteData]) -> None:
    found = measure(experiment, tiny_sites[:2])
    assert list(found) == ["pretrain", "enhance"]
    for rows in found.values():
        rounding, float16, int8 = (rows[name]["at_once"] for name in ("rounding", "float16", "int8"))
        assert 0 < rounding < 1e-3 and rounding < float16 < int8 < 0.03
        assert rows["rounding"]["a_round_later"] > 3 * rounding
    assert measure(experiment, tiny_sites[:2]) == found
