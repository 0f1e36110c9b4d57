"""The machine: folders that cannot be read or written, too little disk and memory, what is installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from client.checks import machine, space, versions
from client.checks.images import open_images
from hqgnet.config import Experiment
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.networks import build_networks
from hqgnet.presets import PRESETS
from hqgnet.training.local import LocalTrainer
from tests.other_user import closed, nobody, open_folder, open_to_others, usual_umask
from tests.unit.client.checks.hospital import found, make_hospital, offline

ROOT = Path(__file__).parents[4]


@pytest.fixture
def config() -> Iterator[SiteConfig]:
    """A site in a folder that any user may enter."""
    with open_folder() as folder:
        yield load_site_config(make_hospital(folder, images=3))


def test_a_work_folder_that_cannot_be_written(config: SiteConfig) -> None:
    config.work.mkdir(mode=0o555)
    with nobody():
        (finding,) = machine.check_work(config)
    assert finding.state == "problem" and "cannot be written" in finding.detail


def test_a_work_folder_that_cannot_be_made(config: SiteConfig) -> None:
    config.work.write_text("a file of that name")
    (finding,) = machine.check_work(config)
    assert finding.state == "problem" and "cannot be made" in finding.detail


def test_the_work_folder_is_made_private_and_left_empty(config: SiteConfig) -> None:
    with usual_umask():
        (finding,) = machine.check_work(config)
    assert finding.state == "ok"
    assert open_to_others(config.work) == [] and not list(config.work.iterdir())


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_work_folder_that_others_may_enter(config: SiteConfig, mode: int) -> None:
    config.work.mkdir()
    config.work.chmod(mode)
    (finding,) = machine.check_work(config)
    assert finding.state == "warning" and f"mode {mode:04o}" in finding.detail
    assert finding.remedy == f"chmod 700 {config.work}"


def test_a_volume_that_was_given_to_a_group_stays_so(config: SiteConfig) -> None:
    """As Kubernetes does (fsGroup): it would open every file in it to the group if its mode were another."""
    config.work.mkdir()
    config.work.chmod(0o2770)
    assert [finding.state for finding in machine.check_work(config)] == ["ok"]
    config.work.chmod(0o2775)
    (finding,) = machine.check_work(config)
    assert finding.state == "warning" and finding.remedy == f"chmod o= {config.work}"


def test_a_folder_and_a_file_that_may_not_be_read(config: SiteConfig) -> None:
    folder, file = config.images.lq / "closed", config.images.lq / "p01_1.png"
    folder.mkdir()
    file.chmod(0o000)
    with closed(folder), nobody():
        (finding,) = machine.check_reading(config)
    assert finding.state == "problem"
    assert finding.files == (str(folder), str(file))


def test_files_in_linked_folders_are_looked_at_and_hidden_ones_are_not(config: SiteConfig) -> None:
    with open_folder() as elsewhere:
        for file in (elsewhere / "a.png", config.images.lq / "._p01_1.png"):
            file.touch(mode=0o000)
        (config.images.lq / "linked").symlink_to(elsewhere)
        (config.images.lq / "lost+found").mkdir(mode=0o000)
        with nobody():
            (finding,) = machine.check_reading(config)
    assert finding.files == (str(config.images.lq / "linked/a.png"),)


@pytest.mark.parametrize("above", [False, True])
def test_a_folder_of_images_that_may_not_be_entered(config: SiteConfig, above: bool) -> None:
    folder = config.images.lq
    if above:
        folder = folder / "export"
        config = config.model_copy(update={"images": config.images.model_copy(update={"lq": folder})})
        folder.mkdir()
    with closed(config.images.lq.parent if above else folder), nobody():
        (finding,) = machine.check_reading(config)
        (mistake,) = [finding for finding in open_images(config).problems if "images.lq" in finding.detail]
    assert finding.state == "problem" and finding.files == (str(folder),)
    assert "folders above" in finding.remedy
    assert f"folder {folder} may not be entered by this user" in mistake.detail
    assert "chmod" in mistake.remedy


def test_a_folder_of_images_that_is_missing_is_told_elsewhere(config: SiteConfig) -> None:
    images = config.images.model_copy(update={"hq": config.images.lq / "none"})
    (finding,) = machine.check_reading(config.model_copy(update={"images": images}))
    assert finding.state == "ok"


def test_the_disk_of_a_work_folder_that_may_not_be_entered(config: SiteConfig) -> None:
    inside = config.model_copy(update={"work": config.images.lq / "site/work"})
    inside.work.mkdir(parents=True)
    with closed(config.images.lq), nobody():
        findings = [*machine.check_disk(inside), *machine.check_work(inside)]
    assert findings[0].state != "problem" and findings[1].state == "problem"


def test_all_may_be_read(config: SiteConfig) -> None:
    assert [finding.state for finding in machine.check_reading(config)] == ["ok"]


def test_a_device_that_is_not_there(config: SiteConfig) -> None:
    (finding,) = machine.check_device(config.model_copy(update={"device": "cuda:99"}))
    assert finding.state == "problem" and "cuda:99" in finding.detail


def test_the_processor_is_named_with_the_build(config: SiteConfig) -> None:
    (finding,) = machine.check_device(config.model_copy(update={"device": "cpu"}))
    assert finding.state == "ok" and torch.__version__ in finding.detail


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU that torch sees")
def test_a_driver_without_a_cuda_build(
    config: SiteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_NVIDIA_DRIVER", tmp_path)
    (finding,) = machine.check_device(config)
    assert finding.state == "warning" and "CUDA build" in finding.remedy


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_is_named(config: SiteConfig) -> None:
    (finding,) = machine.check_device(config)
    assert torch.cuda.get_device_name() in finding.detail and "CUDA" in finding.detail


def test_more_threads_than_processors(config: SiteConfig) -> None:
    many = config.model_copy(update={"threads": 1024})
    assert machine.check_threads(many)[0].state == "warning"
    assert machine.check_threads(config.model_copy(update={"threads": 1}))[0].state == "ok"


@pytest.mark.parametrize(("free_gb", "state"), [(0.1, "problem"), (2.0, "warning"), (100.0, "ok")])
def test_free_disk_against_what_a_run_takes(
    config: SiteConfig, monkeypatch: pytest.MonkeyPatch, free_gb: float, state: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free_gb * 1e9))
    (finding,) = machine.check_disk(config)
    assert finding.state == state
    assert ("enough for small, tiny; paper takes" in finding.detail) == (state == "warning")


def test_a_containers_memory_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_MEMORY_LIMIT", limit)
    limit.write_text("max\n")
    whole = machine.memory_gb()
    limit.write_text("1000000000\n")
    assert machine.memory_gb() == 1.0 < whole
    assert machine.check_memory()[0].state == "problem"
    limit.write_text("4000000000\n")
    assert machine.check_memory()[0].state == "warning"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_table_of_parameters_is_the_networks(preset: str) -> None:
    with torch.device("meta"):
        networks = build_networks(PRESETS[preset], 3)
    real = sum(parameter.numel() for parameter in networks.parameters())
    assert space.parameters(preset) == pytest.approx(real, rel=0.01)


def test_the_disk_estimate_is_what_private_state_takes(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    trainer = LocalTrainer(tiny_experiment, [tiny_sites[0]], torch.device("cpu"))
    taken = []
    for phase in ("pretrain", "enhance", "cooperate"):
        trainer.train(phase, 0, 1)
        taken.append(sum(value.nbytes for value in trainer.private_state(phase).values()))
    estimated = space.disk_needed_gb("tiny") - 0.5
    assert estimated == pytest.approx((3 * sum(taken) + taken[-1]) / 1e9, rel=0.05)


def test_the_pinned_flower_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"flwr[simulation]=={versions.FLOWER}" in project["dependencies"]


@pytest.mark.parametrize(("version", "words"), [("1.42.0", "works with no other"), (None, "not installed")])
def test_another_flower_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, words: str
) -> None:
    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: version if name == "flwr" else real(name))
    examination = offline(make_hospital(tmp_path, images=4))
    finding = found(examination, "flwr")
    assert finding.state == "problem" and words in finding.detail
    assert examination.exit_code == 10


def test_a_package_that_is_missing_is_said() -> None:
    assert versions.installed("no-such-package-of-ours") is None
    assert versions.installed("torch") == torch.__version__
