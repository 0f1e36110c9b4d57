"""The experiment file: the paper's defaults, and every mistake named at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hqgnet.config import Experiment, experiment_from_json, load_experiment
from hqgnet.errors import ConfigurationError
from hqgnet.yaml_files import load_yaml_model
from server.comparison.variants import read_variants, write_variants

MINIMAL = """
name: first
modality: fundus
channels: 3
phases:
  pretrain: {rounds: 1, steps: 10}
  enhance: {rounds: 2, steps: 20}
  cooperate: {rounds: 3, steps: 30}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(text)
    return path


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    experiment = load_experiment(written(tmp_path, MINIMAL))
    training = experiment.training
    assert (training.batch_size, training.learning_rate, training.betas) == (4, 1e-4, (0.5, 0.99))
    weights = training.weights
    assert (weights.feature_consistency, weights.adversarial, weights.enhancement) == (10, 1, 5)
    assert experiment.preset == "standard"
    assert experiment.learning_rate("enhance") == 1e-4


def test_a_phase_may_have_its_own_learning_rate(tmp_path: Path) -> None:
    text = MINIMAL.replace("{rounds: 1, steps: 10}", "{rounds: 1, steps: 10, learning_rate: 0.01}")
    experiment = load_experiment(written(tmp_path, text))
    assert experiment.learning_rate("pretrain") == 0.01
    assert experiment.learning_rate("cooperate") == 1e-4


def test_a_linear_schedule_falls_over_the_second_half_of_each_phase(tmp_path: Path) -> None:
    text = MINIMAL.replace("{rounds: 1, steps: 10}", "{rounds: 4, steps: 5}")
    constant = load_experiment(written(tmp_path, text))
    assert {constant.schedule("pretrain", step) for step in range(20)} == {1.0}
    linear = load_experiment(written(tmp_path, text + "training: {schedule: linear}\n"))
    factors = [linear.schedule("pretrain", step) for step in range(20)]
    assert factors[:11] == [1.0] * 11
    assert factors[11:] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    # Whoever goes on past the end moves still.
    assert linear.schedule("pretrain", 20) == pytest.approx(0.1)


def test_a_schedule_of_one_step_is_that_step(tmp_path: Path) -> None:
    text = MINIMAL.replace("{rounds: 1, steps: 10}", "{rounds: 1, steps: 1}")
    assert (
        load_experiment(written(tmp_path, text + "training: {schedule: linear}\n")).schedule("pretrain", 0)
        == 1
    )


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace("channels: 3", "channels: 4") + "presett: tiny\ntraining: {batch_size: 0, betaz: 1}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(written(tmp_path, text))
    said = str(caught.value)
    for part in ("channels", "presett", "preset", "training.batch_size", "training.betaz", "experiment.yaml"):
        assert part in said
    assert len(caught.value.problems) == 4


def test_a_run_without_rounds_is_refused(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace("rounds: 1", "rounds: 0")
        .replace("rounds: 2", "rounds: 0")
        .replace("rounds: 3", "rounds: 0")
    )
    with pytest.raises(ConfigurationError, match="0 rounds"):
        load_experiment(written(tmp_path, text))


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("training.betas[1]", "training: {betas: [0.5, 1.0]}"),
        ("training.betas[0]", "training: {betas: [-0.5, 0.99]}"),
        ("training.weights.adversarial", "training: {weights: {adversarial: .inf}}"),
        ("ablation.inter_variance", "ablation: {inter_variance: .inf}"),
    ],
)
def test_numbers_that_nothing_can_be_trained_with_are_refused(tmp_path: Path, key: str, section: str) -> None:
    """Adam refuses such moments, and a loss of infinity moves no weight, in the middle of a run."""
    file = written(tmp_path, f"{MINIMAL}{section}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(file)
    assert [problem.where for problem in caught.value.problems] == [f"{file}: {key}"]


def test_json_round_trip_keeps_the_digest(tmp_path: Path) -> None:
    experiment = load_experiment(written(tmp_path, MINIMAL))
    again = experiment_from_json(experiment.to_json(), "test")
    assert again == experiment
    assert again.digest() == experiment.digest()
    assert isinstance(again, Experiment)


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("federation: {norm_limit: .inf}", "federation.norm_limit"),
        ("federation: {round_deadline_s: .inf}", "federation.round_deadline_s"),
        ("federation: {wait_for_sites_s: 1e300}", "federation.wait_for_sites_s"),
        ("federation: {retry_pause_s: 1e300}", "federation.retry_pause_s"),
        ("training: {weights: {structure: .inf}}", "training.weights.structure"),
        ("ablation: {inter_variance: .nan}", "ablation.inter_variance"),
        ("stillgan: {cycle: .inf}", "stillgan.cycle"),
        ("downstream: {arguments: {rate: .inf}}", "downstream.arguments.rate"),
    ],
)
def test_numbers_that_no_run_can_go_by_are_refused(section: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(written(tmp_path, f"{MINIMAL}{section}\n"))
    assert all(place in problem.where for problem in caught.value.problems)


def test_a_stored_experiment_is_the_one_it_was_read_from(tmp_path: Path) -> None:
    arguments = "{in_channels: 3, out_channels: 1, kernel_size: 1, rate: 1e-5, other: 2.5e+20, name: 'x'}"
    text = f"{MINIMAL}downstream: {{network: 'package.module:Class', arguments: {arguments}}}\n"
    experiment = load_yaml_model(written(tmp_path, text), Experiment)
    assert experiment.downstream.arguments["rate"] == 1e-5
    stored = tmp_path / "experiment.json"
    stored.write_text(json.dumps(json.loads(experiment.to_json()), indent=2))
    assert load_yaml_model(stored, Experiment).digest() == experiment.digest()


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"name": "x"}', "[" * 200_000])
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        experiment_from_json(text, "the server's request")


_SITE_CONFIGS = Path(__file__).resolve().parents[2] / "site_configs"


@pytest.mark.parametrize(
    "name",
    [
        "demo/experiment",
        "noniid-fundus/experiment",
        "real-fundus/experiment",
        "real-fundus/noniid",
        "synthetic-ccm/experiment",
        "tables/ccm",
        "tables/fundus",
    ],
)
def test_every_experiment_that_is_given_can_be_read(name: str) -> None:
    file = _SITE_CONFIGS / f"{name}.yaml"
    assert load_experiment(file).modality == ("ccm" if "ccm" in name else "fundus")


@pytest.mark.parametrize("name", ["strategies", "guidance"])
def test_every_variant_that_is_given_is_an_experiment(name: str, tmp_path: Path) -> None:
    folder = _SITE_CONFIGS / "noniid-fundus"
    files = write_variants(read_variants(folder / "experiment.yaml", folder / f"{name}.yaml"), tmp_path)
    assert len({load_experiment(file).to_json() for file in files.values()}) == len(files)
