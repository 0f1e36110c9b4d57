"""Model files: whole and their own, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, ModelFileError, OutputError
from hqgnet.model_file import Model, load_model, save_model
from hqgnet.networks import build_networks
from hqgnet.networks.pretrained import load_weights
from tests.other_user import nobody, open_folder


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


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path: Path) -> None:
    with open_folder() as folder:
        closed = folder / "closed.safetensors"
        save_file({"weights": torch.zeros(3)}, closed)
        closed.chmod(0o000)
        with nobody():
            with pytest.raises(ModelFileError, match=r"cannot be read \(Permission denied"):
                load_model(closed)
            with pytest.raises(ConfigurationError, match=r"cannot be read \(Permission denied"):
                load_weights(torch.nn.Linear(1, 1), closed, (), "start_from")
    with pytest.raises(ModelFileError, match=r"cannot be read \(Is a directory"):
        load_model(tmp_path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    save_file({"weights": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelFileError, match="not an HQG-Net model"):
        load_model(tmp_path / "foreign.safetensors")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "old.pt")
    with pytest.raises(ModelFileError):
        load_model(tmp_path / "old.pt")


def rewritten(path: Path, tensors: dict[str, torch.Tensor], header: str | None = None) -> Path:
    """Put tensors in the place of a file's own, and by choice another header."""
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(path) | tensors, path, metadata if header is None else {"hqgnet": header})
    return path


@pytest.mark.parametrize(
    "guidance",
    [
        torch.full((1, 64), float("nan")),
        torch.full((1, 64), float("inf")),
        torch.zeros(1, 64, dtype=torch.float64),
        torch.zeros(1, 64, dtype=torch.int64),
        torch.zeros(1, 32),
    ],
)
def test_a_cue_that_is_none_is_refused(model_path: Path, guidance: torch.Tensor) -> None:
    with pytest.raises(ModelFileError, match=r"model\.safetensors: .*(guidance|NaN)"):
        load_model(rewritten(model_path, {"guidance": guidance}))


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.complex64, torch.int64])
def test_weights_of_another_type_are_refused(model_path: Path, kind: torch.dtype) -> None:
    """Of some types torch cannot say whether a number is finite."""
    tensors = load_file(model_path)
    name = next(n for n in sorted(tensors) if n.startswith("generator.") and tensors[n].ndim == 4)
    with pytest.raises(ModelFileError, match=name):
        load_model(rewritten(model_path, {name: tensors[name].to(kind)}))


def test_a_bank_of_numbers_that_numpy_lacks_is_refused(model_path: Path) -> None:
    bank = {"counts": torch.tensor([5]), "means": torch.zeros(1, 64), "covariances": torch.zeros(1, 64, 64)}
    bank["means"] = bank["means"].bfloat16()
    with pytest.raises(ModelFileError, match="bank of cues"):
        load_model(rewritten(model_path, {f"cue_bank.{name}": value for name, value in bank.items()}))


@pytest.mark.parametrize(
    "header", ["[" * 100_000, '{"format": 1, "details": {}, "experiment": "%s"}' % ("[" * 100_000)]
)
def test_a_header_without_an_end_is_refused(model_path: Path, header: str) -> None:
    with pytest.raises(ModelFileError, match="not an HQG-Net model"):
        load_model(rewritten(model_path, {}, header))


@pytest.mark.parametrize("damage", ["nan", "missing", "shape"])
def test_weights_that_do_not_fit_are_refused(model_path: Path, damage: str) -> None:
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


def test_who_enhances_alone_needs_no_downstream_network(model_path: Path) -> None:
    """Its package may be missing where images are enhanced, and what is not imported does nothing there."""
    with safe_open(model_path, framework="pt") as opened:
        header = json.loads(opened.metadata()["hqgnet"])
    experiment = json.loads(header["experiment"])
    experiment["downstream"]["network"] = "no_such_package.networks:Segmentor"
    named = json.dumps(header | {"experiment": json.dumps(experiment), "details": {"task_trained": True}})
    whole = load_model(model_path)
    rewritten(model_path, {}, named)
    with pytest.raises(ModelFileError, match="no_such_package"):
        load_model(model_path)
    model = load_model(model_path, with_task=False)
    assert model.experiment.downstream.network == "no_such_package.networks:Segmentor"
    assert not model.task_trained
    images = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    enhanced, expected = (one.networks.enhance(images, one.guidance) for one in (model, whole))
    assert torch.equal(enhanced, expected)
