"""The section of the experiment, and combinations in which cues of several sites mean nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hqgnet.config import Experiment
from hqgnet.cue_bank_config import CueBankConfig

BASE: dict[str, Any] = {
    "name": "trial",
    "modality": "fundus",
    "channels": 3,
    "preset": "tiny",
    "phases": {name: {"rounds": 1, "steps": 1} for name in ("pretrain", "enhance", "cooperate")},
}


def experiment(**changes: Any) -> Experiment:
    given = BASE | changes
    given["federation"] = {"cue_bank": True} | changes.get("federation", {})
    return Experiment.model_validate(given)


def test_on_and_off_are_short() -> None:
    assert experiment().federation.cue_bank == CueBankConfig(enabled=True)
    assert not Experiment.model_validate(BASE).federation.cue_bank.enabled
    assert not experiment(federation={"cue_bank": False}).federation.cue_bank.enabled
    given = {"enabled": True, "minimum_images": 30, "refresh": 2}
    assert experiment(federation={"cue_bank": given}).federation.cue_bank.minimum_images == 30


@pytest.mark.parametrize(
    "given",
    [
        {"minimum_images": 1},
        {"norm_limit": 0},
        {"norm_limit": float("inf")},
        {"refresh": 0},
        {"more": 1},
        "on?",
    ],
)
def test_other_values_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        experiment(federation={"cue_bank": given})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"method": "enlightengan"}, "method is enlightengan"),
        (
            {
                "ablation": {"guidance": "none"},
                "phases": BASE["phases"] | {"pretrain": {"rounds": 0, "steps": 1}},
            },
            "ablation.guidance is none",
        ),
        ({"ablation": {"guidance_vector": "feature"}}, "ablation.guidance_vector"),
        ({"ablation": {"feature_matching": "features"}}, "ablation.feature_matching"),
        ({"federation": {"strategy": "fedper", "local_groups": ["cue_extractor"]}}, "cue_extractor is local"),
        ({"federation": {"strategy": "fedper", "local_groups": ["generator"]}}, "generator is local"),
    ],
)
def test_cues_that_cannot_be_compared_are_refused_with_a_remedy(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError) as caught:
        experiment(**changes)
    [error] = caught.value.errors()
    assert error["loc"] == ("federation", "cue_bank", "enabled")
    assert word in error["msg"] and "set federation.cue_bank to off" in error["msg"]
    off = {**changes, "federation": {**changes.get("federation", {}), "cue_bank": False}}
    assert not experiment(**off).federation.cue_bank.enabled
