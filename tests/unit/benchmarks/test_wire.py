"""The benchmark of what travels, at a size that takes seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import wire


def in_this_process(function: Callable[..., Any], *given: object) -> Any:
    return function(*given)


def test_it_prints_one_json_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A child a form takes a second each.
    monkeypatch.setattr(wire, "in_child", in_this_process)
    wire.main(["--params", "1000000", "--repeats", "1", "--threads", "1", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["benchmark"], result["params"]) == ("wire", 1_000_000)
    up, down = result["up"], result["down"]
    # Of so few numbers, names and what stays exact are a larger part than of 66 million.
    assert up["int8"]["bytes_over_float32"] <= 0.28
    assert up["topk"]["bytes_over_float32"] < 0.05
    assert up["float32+zstd"]["relative_error"] == 0 == up["float32+zstd"]["max_abs_error"]
    for codec, limit in (("float16", 5e-4), ("bfloat16", 3e-3), ("int8", 2e-2)):
        assert 0 < up[codec]["relative_error"] < limit
        assert up[f"{codec}+zstd"]["bytes_over_float32"] < up[codec]["bytes_over_float32"]
    assert up["int8"]["relative_error_of_rounds"] < 0.5 * up["int8"]["relative_error"]
    assert down["bfloat16"]["bytes_over_float32"] == pytest.approx(0.5, abs=0.02)
    assert down["float32+zstd"]["relative_error"] == 0
    for figures in [*up.values(), *down.values()]:
        assert figures["encode_seconds"] > 0 and figures["decode_seconds"] > 0


def test_shapes_are_a_presets_and_of_the_asked_size() -> None:
    for params in (5, 1000, 90_000_000):
        shapes = wire.shapes_of("paper", params)
        assert sum(math.prod(shape) for _, shape, _ in shapes) == params
        assert len({name for name, _, _ in shapes}) == len(shapes)
    whole = wire.shapes_of("tiny", 0)
    assert all(not name.startswith("discriminator.") for name, _, _ in whole) and len(whole) > 300
    assert {"float32", "int64"} == {dtype for _, _, dtype in shapes}
