"""``training.compile``: refused where it cannot be, and the same numbers where it can."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError
from hqgnet.networks.resnet import ResNet
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
