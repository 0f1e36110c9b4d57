"""What ``simulate`` refuses before it starts anything."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from hqgnet.errors import ConfigurationError, DataError, OutputError
from server.cli import main
from server.run_directory import RunDirectory
from server.simulation import Simulation, check_files, check_gpus, check_images, find_sites

EXPERIMENT = """\
name: trial
modality: fundus
channels: 3
phases:
  pretrain: {rounds: 1, steps: 1}
  enhance: {rounds: 0, steps: 1}
  cooperate: {rounds: 0, steps: 1}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    file = tmp_path / "experiment.yaml"
    file.write_text(EXPERIMENT)
    return file


def test_good_files_pass(experiment: Path, tiny_site_files: list[Path]) -> None:
    _, configs = check_files(experiment, tiny_site_files)
    assert [config.name for config in configs] == ["site-1", "site-2"]
    check_images(configs)


def test_all_mistakes_in_all_files_are_told_at_once(tmp_path: Path, tiny_site_files: list[Path]) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(EXPERIMENT + "epochs: 3\nseed: -1\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: BAD\n")
    with pytest.raises(ConfigurationError) as caught:
        check_files(experiment, [*tiny_site_files, bad, tmp_path / "absent.yaml"])
    text = str(caught.value)
    assert all(word in text for word in ("epochs", "seed", "bad.yaml", "modality", "absent.yaml"))


def test_sites_must_fit_the_experiment_and_differ(experiment: Path, tiny_site_files: list[Path]) -> None:
    experiment.write_text(EXPERIMENT.replace("fundus", "ccm").replace("channels: 3", "channels: 1"))
    with pytest.raises(ConfigurationError) as caught:
        check_files(experiment, [tiny_site_files[0], tiny_site_files[1], tiny_site_files[1]])
    places = [problem.where.split(": ")[-1] for problem in caught.value.problems]
    assert places.count("modality") == 2 and places.count("channels") == 2


def test_two_sites_of_one_name_are_refused(
    experiment: Path, tmp_path: Path, tiny_site_files: list[Path]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_site_files[0].parent, copy)
    with pytest.raises(ConfigurationError, match="name: site-1 is another site's too"):
        check_files(experiment, [tiny_site_files[0], copy / tiny_site_files[0].name])


def test_too_few_sites_are_refused(experiment: Path, tiny_site_files: list[Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"minimum_sites: 2 sites are wanted, --sites names 1"):
        check_files(experiment, tiny_site_files[:1])


OWN = "torch.nn:Conv2d"
TO_LOGITS = "{in_channels: 3, out_channels: 1, kernel_size: 1}"


@pytest.mark.parametrize(
    ("policy", "federation", "said"),
    [
        ("groups: [generator]", "", "keeps autoencoder_decoder at the site"),
        ("strategies: [median]", "", "does not list fedavg"),
        ("networks: []", f"downstream: {{network: {OWN}, arguments: {TO_LOGITS}}}", f"does not list {OWN}"),
        ("groups: [generator]", "federation: {minimum_sites: 1}", None),
    ],
)
def test_what_policies_withhold_is_told_if_too_few_are_left(
    policy: str,
    federation: str,
    said: str | None,
    experiment: Path,
    tiny_site_files: list[Path],
    tmp_path: Path,
) -> None:
    experiment.write_text(f"{EXPERIMENT}{federation or 'federation: {minimum_sites: 2}'}\n")
    shutil.copytree(tiny_site_files[0].parent, tmp_path / "site-1")
    files = [tmp_path / "site-1" / "site.yaml", tiny_site_files[1]]
    files[0].write_text(f"{files[0].read_text()}policy: {{{policy}}}\n")
    if said is None:
        check_files(experiment, files)
        return
    with pytest.raises(ConfigurationError, match=said):
        check_files(experiment, files)


def test_a_pattern_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file matches"):
        find_sites(str(tmp_path / "*.yaml"))


def test_the_problems_of_all_sites_images_are_told(
    experiment: Path, tmp_path: Path, tiny_site_files: list[Path]
) -> None:
    copies = []
    for file in tiny_site_files:
        shutil.copytree(file.parent, tmp_path / file.parent.name)
        copies.append(tmp_path / file.parent.name / file.name)
        shutil.rmtree(copies[-1].parent / "images" / "hq")
    _, configs = check_files(experiment, copies)
    with pytest.raises(DataError) as caught:
        check_images(configs)
    assert {"site site-1: images.hq", "site site-2: images.hq"} <= {p.where for p in caught.value.problems}


def test_a_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(overwrite=False)
    directory.logs.mkdir()
    directory.append("metrics.jsonl", {"a": 1})
    with pytest.raises(OutputError, match="holds a run already"):
        directory.check_free(overwrite=False)
    (directory.root / "enhanced").mkdir()
    directory.prepare(overwrite=True)
    assert not (directory.root / "metrics.jsonl").exists() and directory.logs.exists()
    assert (directory.root / "enhanced").exists()


def test_a_folder_that_is_no_run_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"holds thesis\.tex and no run"):
        RunDirectory(tmp_path).prepare(overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_mistakes_have_exit_codes_and_write_nothing(
    tmp_path: Path, experiment: Path, capsys: pytest.CaptureFixture[str], tiny_site_files: list[Path]
) -> None:
    runs = tmp_path / "runs"
    common = ["simulate", str(experiment), "--runs", str(runs), "--sites"]
    assert main([*common, str(tmp_path / "nothing*.yaml")]) == 10
    assert "no file matches" in capsys.readouterr().err
    assert main(["simulate", str(tmp_path / "absent.yaml"), "--sites", str(tiny_site_files[0])]) == 10
    assert not runs.exists()


@pytest.mark.parametrize(
    "options", [("--seed", "2147483648"), ("--seed", "-1"), ("--gpus-per-site", "nan"), ("--cpus", "0")]
)
def test_numbers_that_no_run_can_have_are_mistakes_of_usage(
    experiment: Path, options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(experiment), "--sites", "*.yaml", *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}: must be" in capsys.readouterr().err


def test_a_name_that_no_folder_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be used .*long"):
        RunDirectory(tmp_path / ("x" * 300)).check_free(overwrite=False)


def test_resources_become_flowers_configuration(tmp_path: Path) -> None:
    simulation = Simulation(
        Path("e"), "s", RunDirectory(tmp_path), gpus_per_site=0.5, cpus_per_site=4, gpus=2
    )
    assert simulation.resources(3, 2) == {
        "client-resources-num-cpus": 4,
        "client-resources-num-gpus": 0.5,
        "init-args-num-cpus": 4,
        "init-args-num-gpus": 2,
    }
    many = Simulation(Path("e"), "s", RunDirectory(tmp_path))
    assert many.resources(3, 64)["init-args-num-cpus"] == 3
    assert many.resources(3, 2)["init-args-num-cpus"] == 2


def test_gpus_that_are_not_there_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation(Path("e"), "s", RunDirectory(tmp_path), gpus_per_site=0.5)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigurationError, match=r"0\.5 GPUs a site"):
        check_gpus(simulation)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    check_gpus(simulation)


def test_names_of_runs_are_fit_for_sites() -> None:
    from server.app import run_identifier

    assert run_identifier("My run/../x", 255) == "my-run-x-00000000000000ff"
    assert run_identifier("ÄÖ", -1).startswith("run-ffff")
    assert "server.app" in sys.modules
