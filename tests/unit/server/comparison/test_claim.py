"""What may join a comparison that is there, and what may not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from server.comparison.claim import claimed, write_claim

PLAIN: dict[str, Any] = {"name": "plain"}
LONG: dict[str, Any] = {"name": "long", "phases": {"enhance": {"rounds": 9}}}
SITES = {"a": "11" * 32, "b": "22" * 32}


def claim(
    out: Path,
    experiment: Experiment,
    sites: Mapping[str, str] = SITES,
    finetune_steps: int = 5,
    variants: Mapping[str, dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """The claim, and what is said beside it."""
    said: list[str] = []
    return claimed(out, experiment, sites, finetune_steps, variants or {}, said.append), said


def test_variants_join_and_the_first_of_now_is_the_first(tmp_path: Path, tiny_experiment: Experiment) -> None:
    out = tmp_path / "out"
    first, _ = claim(out, tiny_experiment, variants={"plain": PLAIN, "long": LONG})
    assert not out.exists()
    write_claim(out, first)
    backwards = dict(reversed(SITES.items()))
    again, said = claim(out, tiny_experiment, backwards, 7, {"new": {"name": "new"}, "plain": PLAIN})
    assert list(again["variants"]) == ["new", "plain", "long"] and not said
    write_claim(out, again)
    # What was left out once is still what it was.
    with pytest.raises(ConfigurationError, match="long meant something else"):
        claim(out, tiny_experiment, variants={"plain": PLAIN, "long": LONG | {"seed": 3}})


def test_another_comparison_keeps_its_folder(tmp_path: Path, tiny_experiment: Experiment) -> None:
    write_claim(tmp_path, claim(tmp_path, tiny_experiment)[0])
    assert claim(tmp_path, tiny_experiment) == (json.loads((tmp_path / "plan.json").read_text()), [])
    other = tiny_experiment.model_copy(update={"seed": 99})
    one, changed = {"a": SITES["a"]}, SITES | {"b": "33" * 32}
    for said, arguments in {
        "another experiment": (other, SITES, 5, {}),
        "other sites": (tiny_experiment, one, 5, {}),
        "other images of b": (tiny_experiment, changed, 5, {}),
        "another --finetune-steps": (tiny_experiment, SITES, 6, {}),
        "another experiment and other sites": (other, one, 5, {}),
        "another experiment and other images of b": (other, changed, 5, {}),
        "another kind, with --variants or without": (
            tiny_experiment,
            SITES,
            5,
            {"plain": PLAIN, "long": LONG},
        ),
    }.items():
        with pytest.raises(ConfigurationError) as caught:
            claim(tmp_path, *arguments)
        assert caught.value.problems[0].what == f"holds a comparison of {said}"


def test_a_folder_that_says_nothing_of_images_takes_those_of_now_and_says_so(
    tmp_path: Path, tiny_experiment: Experiment
) -> None:
    mine, _ = claim(tmp_path, tiny_experiment)
    write_claim(tmp_path, {key: value for key, value in mine.items() if key != "images"})
    again, [said] = claim(tmp_path, tiny_experiment)
    assert again == mine and "earlier version" in said and "same images" in said
    with pytest.raises(ConfigurationError, match=r"holds a comparison of other sites\b"):
        claim(tmp_path, tiny_experiment, {"a": SITES["a"]})
    # From then on they are known.
    write_claim(tmp_path, again)
    with pytest.raises(ConfigurationError, match="other images of a and b"):
        claim(tmp_path, tiny_experiment, {"a": "44" * 32, "b": "55" * 32})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"experiment": {}, "sites": [], "variants": 3}',
        '{"experiment": {}, "sites": [], "images": 3}',
        "\ufeff\x00",
    ],
)
def test_a_damaged_plan_is_told(text: str, tmp_path: Path, tiny_experiment: Experiment) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"plan\.json: cannot be read"):
        claim(tmp_path, tiny_experiment, {"a": ""}, 5, {"plain": PLAIN, "long": LONG})
