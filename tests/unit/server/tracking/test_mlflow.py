"""MLflow, on its own store of files; skipped where the extra is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.cli import main as command
from tests.report_samples import RUN, write_lines, write_run

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a server would need far more than the client
    return f"file://{tmp_path / 'store'}"


def test_a_run_is_found_again_and_no_point_is_sent_twice(address: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "trial")
    whole = (run / "rounds.jsonl").read_text().splitlines(keepends=True)
    (run / "rounds.jsonl").write_text("".join(whole[:12]))
    for _ in range(2):
        assert command(["track", str(run), "--to", f"mlflow:{address}"]) == 0
    (run / "rounds.jsonl").write_text("".join(whole))
    assert command(["track", str(run), "--to", f"mlflow:{address}"]) == 0

    client = mlflow.MlflowClient(tracking_uri=address)
    [found] = client.search_runs([client.get_experiment_by_name("trial").experiment_id])
    assert (found.info.run_name, found.info.status) == ("trial", "FINISHED")
    assert found.data.tags["hqgnet.run"] == RUN
    history = client.get_metric_history(found.info.run_id, "loss/haar/site_mean")
    assert sorted(point.step for point in history) == list(range(3, 25))
    [first] = [point.value for point in history if point.step == 4]
    assert first == pytest.approx(
        sum(1 + 0.1 * n for n in range(4)) / 4 * 2.718281828 ** (-4 / 20) / 3, rel=1e-6
    )
    judged = client.get_metric_history(found.info.run_id, "validation/psnr_enhanced/aachen")
    assert sorted(point.step for point in judged) == list(range(4, 25, 2))


def status(address: str) -> str:
    client = mlflow.MlflowClient(tracking_uri=address)
    [found] = client.search_runs([client.get_experiment_by_name("trial").experiment_id])
    return str(found.info.status)


def test_mlflow_says_how_the_run_ended(address: str, tmp_path: Path) -> None:
    runs = {
        state: write_run(tmp_path / state, state=state, until=3)
        for state in ("completed", "failed", "stopped", "running")
    }
    # One run as its files tell it at four times: all have one identifier.
    for state, wanted in (
        ("running", "RUNNING"),
        ("failed", "FAILED"),
        ("stopped", "KILLED"),
        ("running", "RUNNING"),
        ("completed", "FINISHED"),
    ):
        assert command(["track", str(runs[state]), "--to", f"mlflow:{address}"]) == 0
        assert status(address) == wanted


def test_a_server_that_is_away_is_an_error_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = write_run(tmp_path / "trial", until=3)
    write_lines(run / "metrics.jsonl", [])
    assert command(["track", str(run), "--to", "mlflow:http://127.0.0.1:9"]) == 13
    assert "does not take the curves (MlflowException" in capsys.readouterr().err
