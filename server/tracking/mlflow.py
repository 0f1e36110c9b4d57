"""An MLflow server, by MLflow's client (``mlflow-skinny`` is enough)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from server.tracking.base import Outcome

_TAG = "hqgnet.run"
_STATUSES: Mapping[Outcome, str] = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_MOST_AT_ONCE = 1000  # the server takes no more in one request


class MlflowTracker:
    """Logs to one MLflow run for each of ours, found again by its tag ``hqgnet.run``.

    MLflow cannot take a point back. When a run goes on, what MLflow has is kept, and only the rest is sent.

    Args:
        address: MLflow's tracking URI, such as ``https://mlflow.example.org``.
        experiment: Name of MLflow's experiment; made if it is missing.
        run: Name of the run's folder.
        identifier: Of the run, the same after a resume.

    Raises:
        mlflow.exceptions.MlflowException: If the server does not take it; so do the methods.
    """

    def __init__(self, address: str, experiment: str, run: str, identifier: str) -> None:
        self._client = MlflowClient(tracking_uri=address)
        known = self._client.get_experiment_by_name(experiment)
        place = known.experiment_id if known else self._client.create_experiment(experiment)
        earlier = self._client.search_runs([place], f"tags.`{_TAG}` = '{identifier}'", max_results=1)
        if earlier:
            self._run = str(earlier[0].info.run_id)
            self._client.update_run(self._run, status="RUNNING")
            self._sent = self._points(earlier[0])
        else:
            begun = self._client.create_run(place, tags={_TAG: identifier}, run_name=run)
            self._run, self._sent = str(begun.info.run_id), set()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send the values that MLflow does not have."""
        now = round(time.time() * 1000)
        points = [
            Metric(name, value, now, step) for name, value in values.items() if (name, step) not in self._sent
        ]
        for first in range(0, len(points), _MOST_AT_ONCE):
            part = points[first : first + _MOST_AT_ONCE]
            self._client.log_batch(self._run, metrics=part)
            self._sent |= {(point.key, point.step) for point in part}

    def close(self, outcome: Outcome | None) -> None:
        """Mark MLflow's run as finished, failed or killed; a run that may go on stays ``RUNNING``."""
        if outcome is not None:
            self._client.set_terminated(self._run, _STATUSES[outcome])

    def _points(self, run: Run) -> set[tuple[str, int]]:
        return {
            (name, point.step)
            for name in run.data.metrics
            for point in self._client.get_metric_history(self._run, name)
        }
