"""Which parameters travel, on the real networks."""

from __future__ import annotations

import pytest

from hqgnet.config import FederationConfig
from hqgnet.exchange.groups import (
    GROUPS,
    evaluation_keys,
    local_keys,
    normalization_keys,
    shared_groups,
    shared_keys,
)
from hqgnet.networks import Networks, build_networks
from hqgnet.presets import PRESETS

DEFAULT = FederationConfig()


@pytest.fixture(scope="module")
def networks() -> Networks:
    return build_networks(PRESETS["tiny"], 3, seed=0)


def groups_of(keys: tuple[str, ...]) -> set[str]:
    return {key.split(".")[0] for key in keys}


def test_every_parameter_belongs_to_a_known_group(networks: Networks) -> None:
    assert groups_of(tuple(networks.state_dict())) == set(GROUPS)


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
    shared = FederationConfig(share_discriminator=True)
    assert "discriminator" in groups_of(shared_keys(networks, "enhance", shared))
    assert "discriminator" not in groups_of(shared_keys(networks, "pretrain", shared))
    assert groups_of(local_keys(networks, DEFAULT)) == {"discriminator"}
    assert local_keys(networks, shared) == ()


def test_local_normalization_keeps_all_of_batch_normalization_home(networks: Networks) -> None:
    local = FederationConfig(share_normalization=False)
    kept = normalization_keys(networks)
    assert any(key.endswith("running_var") for key in kept) and any(
        key.endswith("num_batches_tracked") for key in kept
    )
    for keys in (shared_keys(networks, "cooperate", local), evaluation_keys(networks, local, with_task=True)):
        assert not kept & set(keys)
        assert not any("running_" in key for key in keys)
    assert kept <= set(local_keys(networks, local))
    # Every parameter travels or stays; none is forgotten.
    travelling = {key for phase in ("pretrain", "cooperate") for key in shared_keys(networks, phase, local)}  # type: ignore[arg-type]
    assert travelling | set(local_keys(networks, local)) == set(networks.state_dict())


def test_evaluation_needs_no_discriminator_or_decoder(networks: Networks) -> None:
    assert groups_of(evaluation_keys(networks, DEFAULT, with_task=False)) == {"cue_extractor", "generator"}
    assert groups_of(evaluation_keys(networks, DEFAULT, with_task=True)) == {
        "cue_extractor",
        "generator",
        "task",
    }
