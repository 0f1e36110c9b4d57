"""Variants of an experiment: what they change, what they keep, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqgnet.config import load_experiment
from hqgnet.errors import ConfigurationError
from server.comparison.cells import Cell, plan
from server.comparison.variants import read_variants, write_variants
from server.run_directory import RunDirectory

EXPERIMENT = """
name: whole
modality: fundus
channels: 3
preset: tiny
image_size: 64
phases:
  pretrain: {rounds: 1, steps: 2}
  enhance: {rounds: 3, steps: 5}
  cooperate: {rounds: 1, steps: 2}
federation:
  minimum_sites: 2
  server_average: 0.5
"""


def written(folder: Path, text: str) -> dict[str, Path]:
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    (folder / "variants.yaml").write_text(text)
    merged = read_variants(folder / "experiment.yaml", folder / "variants.yaml")
    return write_variants(merged, folder / "variants")


def test_a_variant_changes_the_keys_that_it_names_and_no_other(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        "plain:\nprox:\n  federation: {strategy: fedprox, proximal_mu: 0.1}\n"
        "long:\n  phases: {enhance: {rounds: 9}}\n",
    )
    assert list(files) == ["plain", "prox", "long"]
    plain, prox, long = (load_experiment(file) for file in files.values())
    assert (plain.name, prox.name) == ("plain", "prox")
    assert plain.federation.strategy == "fedavg"
    assert (prox.federation.strategy, prox.federation.proximal_mu) == ("fedprox", 0.1)
    assert (prox.federation.minimum_sites, prox.federation.server_average) == (2, 0.5)
    assert (long.phases.enhance.rounds, long.phases.enhance.steps) == (9, 5)
    assert long.phases.cooperate == plain.phases.cooperate


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n", "two variants"),
        ("a:\nOriginal:\n", "names no variant"),
        ("a:\noriginal:\n", "names no variant"),
        ("- a\n- b\n", "not a mapping"),
        ("a: 3\nb:\n", "variants.yaml"),
    ],
)
def test_what_is_no_set_of_variants_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        written(tmp_path, text)


def test_a_key_that_no_experiment_has_is_named_with_its_variant_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=r"variants.yaml: b: .*strategi"):
        written(tmp_path, "a:\nb: {federation: {strategi: fedbn}}\n")
    assert not (tmp_path / "variants").exists()


def test_only_federations_are_planned_and_a_personal_model_lies_at_its_site(tmp_path: Path) -> None:
    cells = plan(["site-1", "site-2"], [1, 2], ["plain", "fedbn"])
    assert [(cell.seed, cell.model) for cell in cells] == [
        (1, "plain"),
        (1, "fedbn"),
        (2, "plain"),
        (2, "fedbn"),
    ]
    cell = Cell("federated", 2, variant="fedbn")
    assert cell.file_at(tmp_path, tmp_path / "work", personal=False) == (
        tmp_path / "seed-2" / "fedbn" / "models" / "best.safetensors"
    )
    run = RunDirectory(cell.folder(tmp_path))
    run.root.mkdir(parents=True)
    run.append("rounds.jsonl", {"run": "fedbn-0123", "round": 1})
    assert cell.file_at(tmp_path, tmp_path / "work", personal=True) == (
        tmp_path / "work" / "fedbn-0123" / "model.safetensors"
    )
