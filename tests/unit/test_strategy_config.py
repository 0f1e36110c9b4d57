"""What an experiment may ask of a strategy."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from hqgnet.config import FederationConfig
from hqgnet.data.site_policy import SitePolicy
from hqgnet.errors import ConfigurationError
from hqgnet.strategy_config import StrategyName
from hqgnet.yaml_files import validate_mapping
from server.strategies import STRATEGIES


def test_every_name_has_its_strategy_and_a_hospital_can_allow_it() -> None:
    assert set(get_args(StrategyName)) == set(STRATEGIES)
    assert SitePolicy(strategies=tuple(STRATEGIES)).strategies == tuple(STRATEGIES)


def test_fedbn_keeps_normalization_at_the_sites() -> None:
    assert not FederationConfig(strategy="fedbn").share_normalization
    assert FederationConfig(strategy="fedprox").share_normalization


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"strategy": "fedbn", "share_normalization": True}, "share_normalization: True: fedbn keeps it"),
        ({"strategy": "fedper"}, "local_groups: .*fedper keeps groups at the sites. Name them"),
        ({"strategy": "krum"}, "minimum_sites: 2: krum needs 2 faulty_sites . 3 of them. Set it to 5"),
        ({"weighting": "capped_images"}, "weight_cap: None: it and weighting capped_images belong together"),
        ({"weight_cap": 9}, "weight_cap: 9: it and weighting capped_images belong together"),
        ({"strategy": "multi_krum", "minimum_sites": 5, "selected_sites": 6}, "selected_sites: 6"),
        ({"strategy": "fedsgd"}, "strategy: 'fedsgd' does not fit"),
    ],
)
def test_what_cannot_work_is_refused_with_its_key(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        validate_mapping(mapping, FederationConfig, "experiment.yaml")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_mapping({"strategy": "krum", "weight_cap": 3}, FederationConfig, "experiment.yaml")
    assert len(caught.value.problems) == 2
