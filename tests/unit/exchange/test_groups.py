"""Which parameters travel, on the real networks."""

from __future__ import annotations

from typing import Any

import pytest

from hqgnet.config import Experiment, FederationConfig, PhaseConfig, PhasesConfig
from hqgnet.cue_bank_config import CueBankConfig
from hqgnet.exchange.groups import (
    GROUPS,
    cue_keys,
    evaluation_keys,
    local_keys,
    normalization_keys,
    received_groups,
    shared_groups,
    shared_keys,
    takes_part,
)
from hqgnet.networks import Networks, build_networks, networks_of
from hqgnet.presets import PRESETS

PHASE = PhaseConfig(rounds=1, steps=1)


def experiment_of(**sections: Any) -> Experiment:
    phases = PhasesConfig(pretrain=PHASE, enhance=PHASE, cooperate=PHASE)
    if sections.get("method") == "stillgan" or sections.get("ablation"):
        phases = phases.model_copy(update={"pretrain": PHASE.model_copy(update={"rounds": 0})})
    given = {"name": "groups", "modality": "fundus", "channels": 3, "preset": "tiny", "phases": phases}
    return Experiment(**given | sections)


DEFAULT = experiment_of()


@pytest.fixture(scope="module")
def networks() -> Networks:
    return build_networks(PRESETS["tiny"], 3, seed=0)


def groups_of(keys: tuple[str, ...]) -> set[str]:
    return {key.split(".")[0] for key in keys}


def test_every_parameter_belongs_to_a_known_group(networks: Networks) -> None:
    assert groups_of(tuple(networks.state_dict())) == set(GROUPS) - {"backward_generator"}


def test_the_torch_free_plan_is_that_of_the_networks() -> None:
    """Every group that a method's phases name is one of its networks, and the other way round."""
    for sections in METHODS.values():
        experiment = experiment_of(**sections)
        built = groups_of(tuple(networks_of(experiment).state_dict()))
        phases = ("enhance", "cooperate") if "cue_extractor" not in built else ("pretrain", "cooperate")
        planned = {group for phase in phases for group in received_groups(phase, experiment)}  # type: ignore[arg-type]
        assert planned | {"discriminator"} == built <= set(GROUPS)


METHODS: dict[str, dict[str, Any]] = {
    "hqgnet": {},
    "unguided": {"ablation": {"guidance": "none"}},
    "stillgan": {"method": "stillgan"},
    "enlightengan": {"method": "enlightengan"},
}


@pytest.mark.parametrize(
    ("method", "received", "sent"),
    [
        ("hqgnet", {"cue_extractor", "generator", "task"}, {"cue_extractor", "generator", "task"}),
        ("unguided", {"generator", "task"}, {"generator", "task"}),
        (
            "stillgan",
            {"generator", "backward_generator", "task"},
            {"generator", "backward_generator", "task"},
        ),
        # The feature network is frozen: it is received, and not sent.
        ("enlightengan", {"cue_extractor", "generator", "task"}, {"generator", "task"}),
    ],
)
def test_groups_follow_the_method(method: str, received: set[str], sent: set[str]) -> None:
    experiment = experiment_of(**METHODS[method])
    assert set(received_groups("cooperate", experiment)) == received
    assert set(shared_groups("cooperate", experiment)) == sent
    assert set(shared_groups("enhance", experiment)) == sent - {"task"}
    keys = shared_keys(networks_of(experiment), "cooperate", experiment)
    assert groups_of(keys) == sent


@pytest.mark.parametrize(
    ("roles", "sent", "unlabelled"),
    [
        ({}, {"cue_extractor", "generator", "task"}, {"cue_extractor", "generator"}),
        ({"enhancer_trained_in_cooperate": False}, {"task"}, set()),
        (
            {"trained_in_cooperate": False, "weights": "w"},
            {"cue_extractor", "generator"},
            {"cue_extractor", "generator"},
        ),
    ],
)
def test_what_is_frozen_is_received_and_not_sent(
    roles: dict[str, Any], sent: set[str], unlabelled: set[str]
) -> None:
    experiment = experiment_of(downstream=roles)
    assert set(received_groups("cooperate", experiment)) == {"cue_extractor", "generator", "task"}
    assert set(shared_groups("cooperate", experiment)) == sent
    assert set(shared_groups("cooperate", experiment, has_labels=False)) == unlabelled
    assert takes_part("cooperate", experiment, has_labels=False) == bool(unlabelled)
    assert "task" not in received_groups("cooperate", experiment, has_labels=False)
    assert takes_part("cooperate", experiment, has_labels=True)


def test_sites_without_labels_sit_out_where_the_experiment_says_so() -> None:
    skipping = experiment_of(federation=FederationConfig(unlabelled_sites="skip"))
    assert not takes_part("cooperate", skipping, has_labels=False)
    assert takes_part("enhance", skipping, has_labels=False)


def test_local_groups_never_travel(networks: Networks) -> None:
    local = experiment_of(federation=FederationConfig(strategy="fedper", local_groups=("task",)))
    for keys in (
        shared_keys(networks, "cooperate", local),
        evaluation_keys(networks, local, with_task=True),
    ):
        assert groups_of(keys) == {"cue_extractor", "generator"}
    assert "task" not in received_groups("cooperate", local)
    assert groups_of(local_keys(networks, local.federation)) == {"task", "discriminator"}


@pytest.mark.parametrize(
    ("phase", "labels", "expected"),
    [
        ("pretrain", True, {"cue_extractor", "autoencoder_decoder"}),
        ("enhance", True, {"cue_extractor", "generator"}),
        ("cooperate", True, {"cue_extractor", "generator", "task"}),
        ("cooperate", False, {"cue_extractor", "generator"}),
    ],
)
def test_groups_by_phase(networks: Networks, phase: str, labels: bool, expected: set[str]) -> None:
    keys = shared_keys(networks, phase, DEFAULT, labels)  # type: ignore[arg-type]
    assert groups_of(keys) == set(shared_groups(phase, DEFAULT, labels)) == expected  # type: ignore[arg-type]
    assert set(keys) == {key for key in networks.state_dict() if key.split(".")[0] in expected}


def test_the_discriminator_travels_by_option_only(networks: Networks) -> None:
    shared = experiment_of(federation=FederationConfig(share_discriminator=True))
    assert "discriminator" in groups_of(shared_keys(networks, "enhance", shared))
    assert "discriminator" not in groups_of(shared_keys(networks, "pretrain", shared))
    assert groups_of(local_keys(networks, DEFAULT.federation)) == {"discriminator"}
    assert local_keys(networks, shared.federation) == ()


def test_local_normalization_keeps_all_of_batch_normalization_home(networks: Networks) -> None:
    local = experiment_of(federation=FederationConfig(share_normalization=False))
    kept = normalization_keys(networks)
    assert any(key.endswith("running_var") for key in kept) and any(
        key.endswith("num_batches_tracked") for key in kept
    )
    for keys in (shared_keys(networks, "cooperate", local), evaluation_keys(networks, local, with_task=True)):
        assert not kept & set(keys)
        assert not any("running_" in key for key in keys)
    assert kept <= set(local_keys(networks, local.federation))
    # Every parameter travels or stays; none is forgotten.
    travelling = {key for phase in ("pretrain", "cooperate") for key in shared_keys(networks, phase, local)}  # type: ignore[arg-type]
    assert travelling | set(local_keys(networks, local.federation)) == set(networks.state_dict())


def test_with_a_bank_of_cues_the_cue_extractors_normalization_travels(networks: Networks) -> None:
    bank = CueBankConfig(enabled=True)
    local = experiment_of(federation=FederationConfig(share_normalization=False, cue_bank=bank))
    kept = normalization_keys(networks)
    cues = {key for key in kept if key.startswith("cue_extractor.")}
    assert cues and cues < kept
    assert kept & set(shared_keys(networks, "cooperate", local)) == cues
    assert cues <= set(cue_keys(networks, local))
    assert kept & set(local_keys(networks, local.federation)) == kept - cues


def test_evaluation_needs_no_discriminator_or_decoder(networks: Networks) -> None:
    assert groups_of(evaluation_keys(networks, DEFAULT, with_task=False)) == {"cue_extractor", "generator"}
    assert groups_of(evaluation_keys(networks, DEFAULT, with_task=True)) == {
        "cue_extractor",
        "generator",
        "task",
    }
