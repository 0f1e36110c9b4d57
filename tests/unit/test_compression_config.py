"""Keys of ``federation.compression``, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from hqgnet.compression_config import CompressionConfig
from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from hqgnet.yaml_files import validate_mapping

ROUND = {"rounds": 1, "steps": 1}
BASE: dict[str, Any] = {
    "name": "compressed",
    "modality": "ccm",
    "channels": 1,
    "phases": {"pretrain": ROUND, "enhance": ROUND, "cooperate": ROUND},
}


def read(**federation: Any) -> Experiment:
    return validate_mapping(BASE | {"federation": federation}, Experiment, "experiment.yaml")


def test_nothing_is_compressed_unless_asked() -> None:
    settings = read().federation.compression
    assert settings == CompressionConfig() and not (settings.is_up or settings.is_down)


@pytest.mark.parametrize(
    ("keys", "up", "down", "feedback"),
    [
        ({"up": "int8"}, True, False, True),
        ({"up": "topk", "topk_share": 0.5}, True, False, True),
        ({"up": "float16"}, True, False, False),
        ({"down": "bfloat16"}, False, True, False),
        ({"zstd": True}, True, True, False),
    ],
)
def test_what_is_compressed(keys: dict[str, Any], up: bool, down: bool, feedback: bool) -> None:
    experiment = read(compression=keys)
    settings = experiment.federation.compression
    assert (settings.is_up, settings.is_down, settings.has_feedback) == (up, down, feedback)
    assert Experiment.model_validate_json(experiment.to_json()) == experiment


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"up": "int4"}, "federation.compression.up"),
        ({"down": "int8"}, "federation.compression.down"),
        ({"up": "topk", "topk_share": 0}, "federation.compression.topk_share"),
        ({"up": "topk", "topk_share": 0.9}, "federation.compression.topk_share"),
        ({"level": 3}, "federation.compression.level"),
    ],
)
def test_other_values_are_refused(keys: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(compression=keys)
    assert place in str(caught.value)


@pytest.mark.parametrize("strategy", ["median", "trimmed_mean", "krum", "multi_krum", "scaffold"])
def test_topk_is_refused_where_every_number_counts(strategy: str) -> None:
    settings = {"strategy": strategy, "minimum_sites": 5}
    with pytest.raises(ConfigurationError) as caught:
        read(**settings, compression={"up": "topk"})
    assert "federation.compression.up" in str(caught.value) and "Set it to int8" in str(caught.value)
    assert read(**settings, compression={"up": "int8"}).federation.strategy == strategy


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedbn"])
def test_topk_goes_with_means(strategy: str) -> None:
    assert read(strategy=strategy, compression={"up": "topk"}).federation.compression.up == "topk"
