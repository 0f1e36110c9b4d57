"""Event files hold what the run's own files hold, once, however often the run was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from flwr.app import Context, Message, RecordDict

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, ExitCode
from server.app import main
from server.cli import main as command
from server.run_directory import RunDirectory
from tests.report_samples import RUN, write_run
from tests.unit.server.tracking.event_files import Points, crc32c, read_events, read_points

pytest.importorskip("tensorboardX")


@pytest.fixture
def experiment(quick_experiment: Experiment, shorten: Callable[..., Experiment]) -> Experiment:
    evaluation = quick_experiment.evaluation.model_copy(update={"every": 1})
    return shorten(quick_experiment.model_copy(update={"evaluation": evaluation}), pretrain=1, enhance=2)


def start(grid: Any, root: Path, experiment: Experiment, **settings: Any) -> None:
    file = root / "experiment.yaml"
    file.write_text(yaml.safe_dump(json.loads(experiment.to_json())))
    config = {"experiment": str(file), "run-dir": str(root / "run"), "seed": -1, **settings}
    main(grid, Context(7, 0, {}, RecordDict(), config))


def expected(run: Path) -> Points:
    """The points of a run of which every attempt counted, straight from its files."""
    points: dict[tuple[str, int], Any] = {}
    place = {}
    for line in (run / "rounds.jsonl").read_text().splitlines():
        row = json.loads(line)
        step = row["global_round"]
        place[row["phase"], row["round"]] = step
        points |= {(f"round/{name}", step): row[name] for name in ("bytes_down", "bytes_up", "seconds")}
        points[("round/sites", step)], points[("round/failed", step)] = len(row["sites"]), len(row["failed"])
        points |= {(f"loss/{name}/site_mean", step): value for name, value in row["losses"].items()}
        for site, of in row["sites"].items():
            points[(f"round/site_seconds/{site}", step)] = of["seconds"]
            points |= {(f"loss/{name}/{site}", step): value for name, value in of["losses"].items()}
    whose = {"site-mean": "site_mean", "pooled": "all_images"}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        step, name = place[row["phase"], row["round"]], row.get("site") or whose[row["kind"]]
        for figure, value in row.items():
            if figure not in ("round", "images") and isinstance(value, float | int):
                points[(f"{row['split']}/{figure}/{name}", step)] = value
    return points


def same(found: Points, wanted: Points) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == np.float32(value), key


def test_the_check_sum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_runs_curves_are_those_of_its_files_and_none_is_doubled_by_going_on(
    assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    run, asked = tmp_path / "run", []

    def die(request: Message, reply: Message) -> Message:
        asked.append(request.metadata.group_id)
        if request.metadata.group_id == "enhance-2-0":
            raise KeyboardInterrupt
        return reply

    federation = assemble(experiment, tiny_site_files, die)
    with pytest.raises(KeyboardInterrupt):
        start(federation.grid, tmp_path, experiment, track="tensorboard")
    before = read_points(run / "tensorboard")
    same(before, expected(run))
    assert {step for _, step in before} == {1, 2}

    grid = type(federation.grid)(federation.files)
    start(grid, tmp_path, experiment, resume=True, track='["tensorboard"]')
    points = read_points(run / "tensorboard")
    same(points, expected(run))
    assert before.items() <= points.items()
    assert {step for _, step in points} == {1, 2, 3}
    assert any(tag.startswith("test/psnr_enhanced/site-") for tag, _ in points)

    assert command(["track", str(run), "--to", f"tensorboard:{tmp_path / 'again'}"]) == 0
    assert read_points(tmp_path / "again") == points


def test_a_tracker_that_cannot_write_is_warned_of_once_and_the_run_goes_on(
    assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    grid = assemble(experiment, tiny_site_files[:1]).grid
    start(grid, tmp_path, experiment, track=f"tensorboard:{tmp_path / 'file'}")
    directory = RunDirectory(tmp_path / "run")
    assert json.loads(directory.status.read_text())["state"] == "completed"
    events = [json.loads(line) for line in directory.progress.read_text().splitlines()]
    [warning] = [event["problem"] for event in events if event["event"] == "tracking"]
    assert "FileExistsError" in warning and "the run goes on" in warning


def test_an_unknown_tracker_is_refused_before_the_run(
    assemble: Callable[..., Any], experiment: Experiment, tiny_site_files: list[Path], tmp_path: Path
) -> None:
    grid = assemble(experiment, tiny_site_files[:1]).grid
    with pytest.raises(ConfigurationError, match="'wandb' is unknown"):
        start(grid, tmp_path, experiment, track="wandb")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_tracked_again_and_others_files_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, curves = write_run(tmp_path / "trial"), tmp_path / "curves"
    curves.mkdir()
    other = curves / "events.out.tfevents.1700000000.host@other"
    other.write_bytes(b"somebody else's")
    for _ in range(2):
        assert command(["track", str(run), "--to", f"tensorboard:{curves}"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"tensorboard:{curves}: 24 rounds"] * 2
    assert other.read_bytes() == b"somebody else's"
    other.unlink()
    assert len(list(curves.iterdir())) == 1
    points = read_points(curves)
    assert points["validation/psnr_enhanced/aachen", 4] == np.float32(15.0 * 1.04)
    assert points["round/bytes_down", 7] == 40_000_000  # of two attempts
    assert ("loss/adversarial/aachen", 5) not in points  # NaN


def test_runs_whose_folders_have_one_name_keep_their_curves_in_one_place(tmp_path: Path) -> None:
    curves, identifiers = tmp_path / "curves", ("fedavg-0000000000000001", "fedavg-0000000000000002")
    for seed, identifier in enumerate(identifiers, 1):
        run = write_run(tmp_path / f"seed-{seed}" / "fedavg", until=2 + seed)
        rounds = run / "rounds.jsonl"
        rounds.write_text(rounds.read_text().replace(RUN, identifier))
        for _ in range(2):
            assert command(["track", str(run), "--to", f"tensorboard:{curves}"]) == 0
    files = {file.name.partition("@")[2]: read_events(file) for file in curves.iterdir()}
    assert {run: max(event.step for event in events) for run, events in files.items()} == {
        identifiers[0]: 3,
        identifiers[1]: 4,
    }


def test_what_is_no_run_cannot_be_tracked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["track", str(tmp_path), "--to", "tensorboard"]) == ExitCode.CONFIGURATION
    run = write_run(tmp_path / "trial")
    (run / "rounds.jsonl").unlink()
    assert command(["track", str(run), "--to", "tensorboard"]) == ExitCode.CONFIGURATION
    assert "has no round that counted" in capsys.readouterr().err
    (tmp_path / "file").touch()
    run = write_run(tmp_path / "second")
    assert command(["track", str(run), "--to", f"tensorboard:{tmp_path / 'file'}"]) == ExitCode.OUTPUT
