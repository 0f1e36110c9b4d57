"""``training.compile``: refused where it cannot be, and the same numbers where it can."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError
from hqgnet.networks.resnet import ResNet
from hqgnet.training import compiling
from hqgnet.training.compiling import compile_networks, missing_compiler
from hqgnet.training.local import LocalTrainer
from tests.unit.training.systems import CPU, edited


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = ResNet(
            1, stem_width=4, stem_stride=2, widths=(4, 4), blocks=(1, 1), kind="basic", momentum=0.1
        )
        self.discriminator = nn.Sequential(nn.Conv2d(4, 1, 1))


def test_without_a_compiler_it_is_refused(
    tiny_experiment: Experiment, tiny_sites: list[SiteData], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    problem = missing_compiler(CPU)
    assert problem is not None and "g++" in problem.what and "training.compile: false" in problem.remedy
    with pytest.raises(ConfigurationError, match="no C"):
        LocalTrainer(edited(tiny_experiment, training={"compile": True}), tiny_sites[:1], CPU)
    assert not (tmp_path / "compiled").exists()
    LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)


def test_a_named_compiler_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    problem = missing_compiler(CPU)
    assert problem is not None and "no-such-compiler" in problem.what


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.fx.GraphModule]]:
    """Let torch trace without compiling, which needs no compiler; return what it would have compiled."""
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        del inputs
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(compiling, "missing_compiler", lambda device: None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # put back afterwards
    torch._dynamo.reset()
    yield compiled
    torch._dynamo.reset()


def test_steps_are_compiled_and_evaluation_is_not(
    tiny_experiment: Experiment,
    tiny_sites: list[SiteData],
    tmp_path: Path,
    variants: list[torch.fx.GraphModule],
) -> None:
    """Torch compiles eight variants of a function at most: images of many shapes would use them up."""
    config = tiny_sites[0].config.model_copy(update={"work": tmp_path})
    site = replace(tiny_sites[0], config=config)
    eager = LocalTrainer(edited(tiny_experiment), [site], CPU)
    compiled = LocalTrainer(edited(tiny_experiment, training={"batch_size": 2, "compile": True}), [site], CPU)
    expected, given = (trainer.train("enhance", 0, 1) for trainer in (eager, compiled))
    assert given.losses == pytest.approx(expected.losses, rel=1e-4)
    taken = len(variants)
    assert taken > 0
    networks = compiled.networks.eval()
    with torch.inference_mode():
        for height, width in ((48, 48), (64, 32), (32, 80)):
            image = torch.rand(1, 3, height, width)
            networks.enhance(image, networks.describe(image))
    assert len(variants) == taken
    compiled.train("enhance", 1, 1)
    assert len(variants) == taken


def test_a_copy_of_compiled_networks_has_its_own_weights(
    tmp_path: Path, variants: list[torch.fx.GraphModule]
) -> None:
    networks = Small().eval()
    compile_networks(networks, CPU, tmp_path / "compiled")
    twin = copy.deepcopy(networks)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    images = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert float(networks.trunk(images).abs().max()) > 0.0
        assert float(twin.trunk(images).abs().max()) == 0.0
    assert not variants


@pytest.mark.e2e
@pytest.mark.skipif(missing_compiler(CPU) is not None, reason="this machine has no C++ compiler")
@pytest.mark.slow
def test_compiled_networks_give_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # put back afterwards
    eager = Small()
    compiled = copy.deepcopy(eager)
    names = list(eager.state_dict())
    compile_networks(compiled, CPU, tmp_path / "compiled")
    assert list(compiled.state_dict()) == names
    images = torch.rand(2, 1, 32, 32)
    for network in (eager, compiled):
        network.discriminator(network.trunk(images)).square().mean().backward()
    for (name, one), (_, other) in zip(eager.named_parameters(), compiled.named_parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-6, msg=name)
    kept = {path for path in (tmp_path / "compiled").rglob("*") if path.is_file()}
    assert kept
    assert (tmp_path / "compiled").stat().st_mode & 0o077 == 0
