"""What may join a comparison that is there, and what may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from server.comparison.claim import claimed, write_claim

PLAIN: dict[str, Any] = {"name": "plain"}
LONG: dict[str, Any] = {"name": "long", "phases": {"enhance": {"rounds": 9}}}


def test_variants_join_and_the_first_of_now_is_the_first(tmp_path: Path, tiny_experiment: Experiment) -> None:
    out = tmp_path / "out"
    first = claimed(out, tiny_experiment, ["b", "a"], 5, {"plain": PLAIN, "long": LONG})
    assert not out.exists()
    write_claim(out, first)
    again = claimed(out, tiny_experiment, ["a", "b"], 7, {"new": {"name": "new"}, "plain": PLAIN})
    assert list(again["variants"]) == ["new", "plain", "long"]
    write_claim(out, again)
    # What was left out once is still what it was.
    with pytest.raises(ConfigurationError, match="long meant something else"):
        claimed(out, tiny_experiment, ["a", "b"], 7, {"plain": PLAIN, "long": LONG | {"seed": 3}})


def test_another_comparison_keeps_its_folder(tmp_path: Path, tiny_experiment: Experiment) -> None:
    write_claim(tmp_path, claimed(tmp_path, tiny_experiment, ["a", "b"], 5, {}))
    assert claimed(tmp_path, tiny_experiment, ["a", "b"], 5, {}) == json.loads(
        (tmp_path / "plan.json").read_text()
    )
    other = tiny_experiment.model_copy(update={"seed": 99})
    for said, arguments in {
        "another experiment": (other, ["a", "b"], 5, {}),
        "other sites": (tiny_experiment, ["a"], 5, {}),
        "another --finetune-steps": (tiny_experiment, ["a", "b"], 6, {}),
        "another experiment and other sites": (other, ["a"], 5, {}),
        "with --variants or without": (tiny_experiment, ["a", "b"], 5, {"plain": PLAIN, "long": LONG}),
    }.items():
        with pytest.raises(ConfigurationError, match=f"holds a comparison of .*{said}$|{said}"):
            claimed(tmp_path, *arguments)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"experiment": {}, "sites": [], "variants": 3}', "\ufeff\x00"]
)
def test_a_damaged_plan_is_told(text: str, tmp_path: Path, tiny_experiment: Experiment) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"plan\.json: cannot be read"):
        claimed(tmp_path, tiny_experiment, ["a"], 5, {"plain": PLAIN, "long": LONG})
