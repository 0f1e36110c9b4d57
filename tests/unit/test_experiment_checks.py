"""Combinations that cannot work are refused where the configuration is read, all at once, with remedies."""

from __future__ import annotations

from typing import Any

import pytest

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from hqgnet.yaml_files import validate_mapping

ROUND, NONE = {"rounds": 1, "steps": 1}, {"rounds": 0, "steps": 1}
BASE: dict[str, Any] = {
    "name": "checks",
    "modality": "ccm",
    "channels": 1,
    "phases": {"pretrain": ROUND, "enhance": ROUND, "cooperate": ROUND},
}
UNPRETRAINED = {"pretrain": NONE, "enhance": ROUND, "cooperate": ROUND}
TASK_ALONE = {"pretrain": NONE, "enhance": NONE, "cooperate": ROUND}
FROZEN = {"enhancer_trained_in_cooperate": False}
GRADER = {"network": "deepgrading", "task": "grading"}


def read(**sections: Any) -> Experiment:
    return validate_mapping(BASE | sections, Experiment, "experiment.yaml")


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"downstream": GRADER},
        {"downstream": {"network": "my.package:Net", "task": "grading", "arguments": {"width": 8}}},
        {"method": "stillgan", "phases": UNPRETRAINED},
        {"preset": "paper", "image_size": 70},
        {"preset": "tiny", "image_size": 48},
        {"preset": "paper", "image_size": 64, "method": "enlightengan"},
        {
            "preset": "paper",
            "image_size": 64,
            "phases": {"pretrain": ROUND, "enhance": NONE, "cooperate": NONE},
        },
        {"method": "enlightengan"},
        {"method": "caefi", "phases": TASK_ALONE, "downstream": FROZEN},
        {"method": "enlightengan", "phases": UNPRETRAINED, "enlightengan": {"feature_network": "f"}},
        {"ablation": {"guidance": "none"}, "phases": UNPRETRAINED},
        {"downstream": {"enhancer_trained_in_cooperate": False}},
        {"downstream": {"trained_in_cooperate": False, "weights": "w"}},
        {
            "downstream": {"enhancer_trained_in_cooperate": False, "sees": "original"},
            "phases": {"pretrain": NONE, "enhance": NONE, "cooperate": ROUND},
        },
    ],
)
def test_what_works_is_accepted_and_survives_json(sections: dict[str, Any]) -> None:
    experiment = read(**sections)
    assert Experiment.model_validate_json(experiment.to_json()) == experiment


@pytest.mark.parametrize(
    ("sections", "key", "remedy"),
    [
        ({"downstream": GRADER, "modality": "colonoscopy"}, "downstream.network", "Take pnsnet"),
        ({"preset": "paper", "image_size": 64}, "image_size", "Set it to 70 at least, or take preset tiny"),
        ({"preset": "tiny", "image_size": 32}, "image_size", "Set it to 34 at least"),
        (
            {"preset": "small", "image_size": 64, "method": "stillgan", "phases": UNPRETRAINED},
            "image_size",
            "Set it to 70",
        ),
        ({"downstream": {"network": "deepgrading"}}, "downstream.task", "Set it to grading"),
        ({"downstream": {"task": "grading"}}, "downstream.task", "Set it to segmentation"),
        ({"downstream": {"network": "no dots"}}, "downstream.network", "package.module:Class"),
        ({"downstream": {"arguments": {"channels": 3}}}, "downstream.arguments", "Leave them out"),
        ({"downstream": {"segmentor_weights": "w"}}, "downstream.segmentor_weights", "Leave the key out"),
        ({"downstream": {"trained_in_cooperate": False}}, "downstream.trained_in_cooperate", "weights"),
        (
            {
                "downstream": {
                    "trained_in_cooperate": False,
                    "enhancer_trained_in_cooperate": False,
                    "weights": "w",
                }
            },
            "downstream.trained_in_cooperate",
            "Train the enhancer",
        ),
        ({"downstream": {"sees": "original"}}, "downstream.sees", "enhancer_trained_in_cooperate"),
        (
            {
                "downstream": {"enhancer_trained_in_cooperate": False},
                "phases": {"pretrain": ROUND, "enhance": NONE, "cooperate": ROUND},
            },
            "downstream.enhancer_trained_in_cooperate",
            "start_from",
        ),
        ({"method": "stillgan"}, "phases.pretrain.rounds", "Set it to 0"),
        (
            {"federation": {"local_groups": ["cue_extractor", "generator"]}},
            "federation.local_groups",
            "Take one out",
        ),
        (
            {"method": "enlightengan", "federation": {"local_groups": ["generator"]}},
            "federation.local_groups",
            "Take one out",
        ),
        (
            {"downstream": FROZEN, "federation": {"local_groups": ["task"]}},
            "federation.local_groups",
            "Take one out",
        ),
        ({"method": "enlightengan", "phases": UNPRETRAINED}, "phases.pretrain.rounds", "feature_network"),
        ({"method": "enlightengan", "image_size": 24}, "image_size", "Train at least"),
        (
            {"method": "enlightengan", "training": {"adversarial": "bce"}},
            "training.adversarial",
            "Leave the key out",
        ),
        ({"method": "enlightengan", "ablation": {"multi_scale": False}}, "ablation", "Leave the section out"),
        ({"method": "enlightengan", "output": "direct"}, "output", "Leave the key out"),
        ({"ablation": {"guidance": "none"}}, "phases.pretrain.rounds", "Set it to 0"),
        (
            {"method": "ata", "phases": UNPRETRAINED, "downstream": FROZEN},
            "phases.enhance.rounds",
            "Set it to 0",
        ),
        (
            {"method": "ata", "phases": TASK_ALONE},
            "downstream.enhancer_trained_in_cooperate",
            "Set it to false",
        ),
        (
            {"method": "idrlp", "phases": TASK_ALONE, "downstream": FROZEN, "start_from": "m"},
            "start_from",
            "Leave the key out",
        ),
        (
            {"method": "caefi", "phases": TASK_ALONE, "downstream": FROZEN, "output": "direct"},
            "output",
            "Leave the key out",
        ),
        (
            {"ablation": {"guidance": "none", "guidance_vector": "v_z"}, "phases": UNPRETRAINED},
            "ablation.guidance_vector",
            "Set it to v_c",
        ),
        (
            {"ablation": {"guidance": "learnable", "inter_variance": 1.0}, "phases": UNPRETRAINED},
            "ablation.inter_variance",
            "Set it to 0",
        ),
        (
            {"ablation": {"inter_variance": 1.0}, "training": {"batch_size": 1}},
            "ablation.inter_variance",
            "2 or more",
        ),
        (
            {"ablation": {"guidance_vector": "feature", "feature_matching": "vector"}},
            "ablation.feature_matching",
            "Leave the key out",
        ),
        ({"evaluation": {"best_by": "grade_f1"}}, "evaluation.best_by", "Choose by a figure"),
        ({"downstream": GRADER, "evaluation": {"best_by": "dice"}}, "evaluation.best_by", "Choose by"),
        (
            {"downstream": {"weights": "w"}, "federation": {"share_normalization": False}},
            "federation.share_normalization",
            "Set it to true",
        ),
        (
            {
                "downstream": {"weights": "w"},
                "federation": {"strategy": "fedper", "local_groups": ["task"]},
            },
            "federation.local_groups",
            "Take the group out",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_remedy(sections: dict[str, Any], key: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**sections)
    (problem,) = caught.value.problems
    assert problem.where == f"experiment.yaml: {key}"
    assert remedy in problem.remedy


def test_all_combinations_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(
            modality="fundus",
            method="stillgan",
            ablation={"multi_scale": False},
            downstream={"network": "deepgrading", "trained_in_cooperate": False},
        )
    assert [problem.where.split(": ")[1] for problem in caught.value.problems] == [
        "ablation",
        "phases.pretrain.rounds",
        "downstream.task",
        "downstream.network",
        "downstream.trained_in_cooperate",
    ]


def test_a_methods_published_training_stands_where_nothing_is_said() -> None:
    still = read(method="stillgan", phases=UNPRETRAINED).training
    assert (still.learning_rate, still.betas, still.batch_size) == (2e-4, (0.5, 0.999), 1)
    assert still.adversarial == "lsgan"
    mine = read(method="stillgan", phases=UNPRETRAINED, training={"batch_size": 4, "betas": [0.4, 0.9]})
    assert (mine.training.batch_size, mine.training.betas) == (4, (0.4, 0.9))
    assert mine.training.learning_rate == 2e-4
    assert read(method="enlightengan").training.betas == (0.5, 0.999)
    assert read().training.betas == (0.5, 0.99)
