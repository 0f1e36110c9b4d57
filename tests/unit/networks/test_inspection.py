"""Counted size and work beside Table IV."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hqgnet.inspection import Inspection, format_table, inspect
from hqgnet.networks import CSNet, build_networks
from hqgnet.networks.generator import UpBlock
from hqgnet.presets import PRESETS, NetworkNumbers


@cache
def inspected(preset: str) -> Inspection:
    """Count a preset at the table's size, once for all tests."""
    return inspect(PRESETS[preset], 3, 384)


def unfolded_gmacs(numbers: NetworkNumbers, size: int) -> float:
    """Work added by taking conv1 after the up-sampling, as Eq. 3 prints it."""
    added = 0
    with torch.device("meta"):
        networks = build_networks(numbers, 3)
        for block in networks.generator.modules():
            if isinstance(block, UpBlock):

                def count(layer: UpBlock, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                    nonlocal added
                    coarse = inputs[0]
                    pixels = output.shape[-2] * output.shape[-1] - coarse.shape[-2] * coarse.shape[-1]
                    added += pixels * coarse.shape[1] * output.shape[1]

                block.register_forward_hook(count)
        networks.generator(torch.empty(2, 3, size, size), torch.empty(2, 64))
    return added / 1e9


def test_paper_preset_lies_within_3_percent_of_table_iv() -> None:
    result = inspected("paper")
    assert abs(result["deviation_percent"]["params_m"]) < 3
    assert abs(result["deviation_percent"]["gmacs"]) < 3
    assert result["total"]["params_m"] == pytest.approx(66.42, rel=0.03)
    assert result["total"]["gmacs"] == pytest.approx(87.33, rel=0.03)


@pytest.mark.parametrize(
    ("preset", "params_m", "gmacs"), [("paper", 65.54, 87.53), ("standard", 66.99, 41.91)]
)
def test_counts_of_the_specified_reading(preset: str, params_m: float, gmacs: float) -> None:
    """An independent count of the same reading, with Eq. 3 taken literally."""
    result = inspected(preset)
    assert result["total"]["params_m"] == pytest.approx(params_m, abs=0.01)
    assert result["total"]["gmacs"] + unfolded_gmacs(PRESETS[preset], 384) == pytest.approx(gmacs, abs=0.02)


def test_cue_extractor_costs_what_resnet18_does() -> None:
    """1.82 GMACs at 224, as published; work grows with the area."""
    result = inspected("paper")["components"]["cue_extractor"]
    assert result["gmacs"] == pytest.approx(1.814 * (384 / 224) ** 2, rel=0.01)


def test_csnet_comes_near_its_published_size() -> None:
    task = inspected("paper")["components"]["task"]
    assert task["params_m"] == pytest.approx(8.93, abs=0.01)
    assert task["gmacs"] == pytest.approx(28.2, rel=0.02)


def test_counting_on_the_meta_device_is_counting() -> None:
    numbers = PRESETS["tiny"]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        CSNet(numbers, 3).eval()(torch.rand(1, 3, 64, 64))
    assert inspect(numbers, 3, 64)["components"]["task"]["gmacs"] == counter.get_total_flops() / 2e9


def test_smaller_presets_are_smaller() -> None:
    totals = [inspected(name)["total"] for name in ("standard", "small", "tiny")]
    assert totals[0]["gmacs"] > 4 * totals[1]["gmacs"] > 8 * totals[2]["gmacs"]
    assert 8 < totals[1]["params_m"] < 12
    tiny = inspected("tiny")["components"]
    assert 1 < tiny["generator"]["params_m"] < 2
    assert tiny["cue_extractor"]["params_m"] < 1
    assert tiny["task"]["params_m"] < 0.3


def test_result_is_json_and_work_is_compared_at_the_tables_size_only() -> None:
    result = inspect(PRESETS["tiny"], 1, 96)
    assert json.loads(json.dumps(result)) == result
    assert result["deviation_percent"]["gmacs"] is None
    assert set(result["components"]) == {
        "cue_extractor",
        "generator",
        "discriminator",
        "task",
        "autoencoder_decoder",
    }


def test_table_shows_every_component_and_the_mark() -> None:
    table = format_table(inspected("paper"))
    for text in (
        "cue_extractor",
        "generator",
        "discriminator",
        "task",
        "autoencoder_decoder",
        "66.42",
        "87.33",
        "65.54",
    ):
        assert text in table
    assert len({len(line) for line in table.splitlines()}) == 1
