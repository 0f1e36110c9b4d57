"""Model files: whole and their own, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hqgnet.config import Experiment
from hqgnet.errors import ModelFileError, OutputError
from hqgnet.model_file import Model, load_model, save_model
from hqgnet.networks import build_networks


@pytest.fixture
def model_path(tiny_experiment: Experiment, tmp_path: Path) -> Path:
    networks = build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5)
    path = tmp_path / "models" / "model.safetensors"
    save_model(path, networks, tiny_experiment, guidance=torch.arange(64.0), details={"round": 3})
    return path


def test_round_trip(model_path: Path, tiny_experiment: Experiment) -> None:
    model = load_model(model_path)
    original = build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5).state_dict()
    for name, value in model.networks.state_dict().items():
        if name.startswith(("cue_extractor.", "generator.", "task.")):
            assert torch.equal(value, original[name])
    assert model.experiment == tiny_experiment
    assert model.details == {"round": 3}
    assert model.guidance is not None
    assert torch.equal(model.guidance, torch.arange(64.0).unsqueeze(0))
    assert not model.networks.training


def test_a_segmentor_counts_as_trained_only_where_the_file_says_so(tiny_experiment: Experiment) -> None:
    networks = build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5)
    for details, trained in (({"task_trained": True}, True), ({"task_trained": False}, False), ({}, False)):
        assert Model(networks, tiny_experiment, None, details).task_trained is trained


def test_equal_models_are_equal_files(model_path: Path, tiny_experiment: Experiment, tmp_path: Path) -> None:
    networks = build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5)
    for number in range(5):
        again = tmp_path / f"{number}.safetensors"
        save_model(again, networks, tiny_experiment, guidance=torch.arange(64.0), details={"round": 3})
        assert again.read_bytes() == model_path.read_bytes()


def test_the_discriminator_is_not_in_the_file(model_path: Path) -> None:
    names = load_file(model_path)
    assert not [name for name in names if name.startswith(("discriminator", "autoencoder"))]


def test_a_folder_that_cannot_be_made_is_said(tiny_experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    networks = build_networks(tiny_experiment.numbers, tiny_experiment.channels, seed=5)
    with pytest.raises(OutputError, match="cannot be made"):
        save_model(tmp_path / "file" / "models" / "m.safetensors", networks, tiny_experiment, guidance=None)


def test_a_truncated_file_is_refused(model_path: Path) -> None:
    model_path.write_bytes(model_path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        load_model(model_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is missing"):
        load_model(tmp_path / "none.safetensors")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"weights": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelFileError, match="not an HQG-Net model"):
        load_model(tmp_path / "foreign.safetensors")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "old.pt")
    with pytest.raises(ModelFileError):
        load_model(tmp_path / "old.pt")


@pytest.mark.parametrize("damage", ["nan", "missing", "shape"])
def test_weights_that_do_not_fit_are_refused(model_path: Path, damage: str) -> None:
    from safetensors import safe_open

    with safe_open(model_path, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(model_path)
    name = next(n for n in sorted(tensors) if n.startswith("generator.") and tensors[n].ndim == 4)
    if damage == "nan":
        tensors[name][0] = float("nan")
    elif damage == "shape":
        tensors[name] = tensors[name][:1].clone()
    else:
        del tensors[name]
    save_file(tensors, model_path, metadata)
    with pytest.raises(ModelFileError):
        load_model(model_path)
