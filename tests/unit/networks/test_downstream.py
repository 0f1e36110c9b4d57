"""The downstream network that an experiment names, and weights that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hqgnet.config import Experiment, load_experiment
from hqgnet.downstream_config import DownstreamConfig
from hqgnet.errors import ConfigurationError
from hqgnet.model_file import save_model
from hqgnet.networks import networks_of
from hqgnet.networks.downstream import build_downstream
from hqgnet.networks.pretrained import load_pretrained
from hqgnet.presets import PRESETS

BUILT: list[str] = []


class Threshold(nn.Module):
    """A user's own segmentor."""

    def __init__(self, channels: int, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images)
        return logits


class Features(nn.Module):
    """Takes grey images, and gives more than logits."""

    def __init__(self, channels: int = 1, several: bool = False) -> None:
        super().__init__()
        self.layer, self._several = nn.Conv2d(channels, 2, 1), several

    def forward(self, images: torch.Tensor) -> object:
        if float(images.max()) > 1:  # no number is known without memory for it
            return None
        features: torch.Tensor = self.layer(images)
        return [features] if self._several else features


def no_network(**_: Any) -> None:
    BUILT.append("called")


def build(**settings: Any) -> nn.Module:
    return build_downstream(DownstreamConfig(**settings), "tiny", PRESETS["tiny"], 3)


def edited(experiment: Experiment, **sections: Any) -> Experiment:
    return Experiment.model_validate(experiment.model_dump() | sections)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"network": "csnet"}, (2, 1, 48, 40)),
        ({"network": "pnsnet"}, (2, 1, 48, 40)),
        ({"network": "deepgrading", "task": "grading"}, (2, 4)),
        ({"network": f"{__name__}:Threshold", "arguments": {"channels": 3, "width": 2}}, (2, 1, 48, 40)),
    ],
)
def test_every_network_gives_logits(settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    assert build(**settings).eval()(torch.rand(2, 3, 48, 40)).shape == shape


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network": "nowhere.at_all:Net"}, "cannot be imported"),
        ({"network": f"{__name__}:Missing"}, "cannot be imported"),
        ({"network": f"{__name__}:no_network"}, "no subclass of torch.nn.Module"),
        ({"network": "subprocess:Popen", "arguments": {"args": "true"}}, "no subclass of torch.nn.Module"),
        ({"network": f"{__name__}:Threshold"}, "cannot be built"),
        ({"network": "pnsnet", "arguments": {"colour": 1}}, "cannot be built"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_key(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        build(**settings)
    assert caught.value.problems[0].where.startswith("downstream.")
    assert not BUILT


def test_an_experiment_file_is_checked_before_the_run(tiny_experiment: Experiment, tmp_path: Path) -> None:
    own = {"network": "nowhere.at_all:Net", "weights": "missing.safetensors"}
    file = tmp_path / "experiment.yaml"
    file.write_text(edited(tiny_experiment, downstream=own).model_dump_json())
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(file)
    assert [problem.where for problem in caught.value.problems] == [
        f"{file}: downstream.weights",
        f"{file}: downstream.network",
    ]


@pytest.mark.parametrize(
    ("arguments", "task", "said"),
    [
        ({}, "segmentation", "does not run on images (2, 3, 48, 48) (RuntimeError: "),
        ({"channels": 3}, "segmentation", "gives (2, 2, 48, 48) for images (2, 3, 48, 48), and segm"),
        ({"channels": 3}, "grading", "and grading needs (2, 4)"),
        ({"channels": 3, "several": True}, "segmentation", "gives list for images"),
    ],
)
def test_a_network_of_other_logits_is_refused_before_the_run(
    tiny_experiment: Experiment, tmp_path: Path, arguments: dict[str, Any], task: str, said: str
) -> None:
    own = {"network": f"{__name__}:Features", "arguments": arguments, "task": task}
    file = tmp_path / "experiment.yaml"
    file.write_text(edited(tiny_experiment, downstream=own).model_dump_json())
    with pytest.raises(ConfigurationError) as caught:
        load_experiment(file)
    (problem,) = caught.value.problems
    assert problem.where == f"{file}: downstream.network" and said in problem.what


def test_a_network_of_ones_own_is_accepted(tiny_experiment: Experiment, tmp_path: Path) -> None:
    own = {"network": f"{__name__}:Threshold", "arguments": {"channels": 3}}
    file = tmp_path / "experiment.yaml"
    file.write_text(edited(tiny_experiment, downstream=own).model_dump_json())
    assert load_experiment(file).downstream.network == own["network"]


def test_weights_are_put_in_place_from_a_model_or_a_plain_file(
    tiny_experiment: Experiment, tmp_path: Path
) -> None:
    trained = networks_of(tiny_experiment, seed=9).task.state_dict()
    for number, prefix in enumerate(("task.", "")):
        file = tmp_path / f"{number}.safetensors"
        others = {"generator.weight": torch.ones(3)} if prefix else {}
        save_file({f"{prefix}{name}": value for name, value in trained.items()} | others, file)
        experiment = edited(tiny_experiment, downstream={"weights": str(file)})
        networks = networks_of(experiment)
        before = networks.generator.state_dict()["bottom.weight"].clone()
        load_pretrained(networks, experiment)
        assert all(torch.equal(value, trained[n]) for n, value in networks.task.state_dict().items())
        assert torch.equal(networks.generator.state_dict()["bottom.weight"], before)


def test_an_enhancer_of_another_meaning_is_no_start(tiny_experiment: Experiment, tmp_path: Path) -> None:
    """Its weights have the same names and shapes, and would enhance to something else."""
    file = tmp_path / "model.safetensors"
    adain = edited(tiny_experiment, ablation={"normalization": "adain"})
    save_model(file, networks_of(adain, seed=9), adain, guidance=None)
    other = edited(adain, ablation={"normalization": "adaln"}, output="direct", start_from=str(file))
    with pytest.raises(ConfigurationError) as caught:
        load_pretrained(networks_of(other), other)
    assert [problem.what for problem in caught.value.problems] == [
        f"{file} was trained with output residual, and here it is direct",
        f"{file} was trained with ablation.normalization adain, and here it is adaln",
    ]
    same = edited(adain, start_from=str(file))
    load_pretrained(networks_of(same), same)


@pytest.mark.parametrize("damage", ["missing", "foreign", "other", "nan", "nan8", "complex", "pickle"])
def test_unfit_weights_are_refused(tiny_experiment: Experiment, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "weights.safetensors"
    weights = networks_of(tiny_experiment).task.state_dict()
    if damage == "foreign":
        weights = {"something": torch.ones(1)}
    elif damage == "other":
        weights["last.weight"] = weights["last.weight"][:, :1].clone()
    elif damage == "nan":
        weights["last.bias"] = torch.full_like(weights["last.bias"], torch.nan)
    elif damage == "nan8":
        weights["last.bias"] = torch.full_like(weights["last.bias"], torch.nan).to(torch.float8_e4m3fn)
    elif damage == "complex":
        weights["last.bias"] = weights["last.bias"].to(torch.complex64)
    if damage == "pickle":
        torch.save(weights, file)
    elif damage != "missing":
        save_file(weights, file)
    experiment = edited(tiny_experiment, downstream={"weights": str(file)})
    networks = networks_of(experiment)
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    with pytest.raises(ConfigurationError, match=r"downstream\.weights"):
        load_pretrained(networks, experiment)
    assert all(torch.equal(value, before[name]) for name, value in networks.state_dict().items())
