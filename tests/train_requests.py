"""What a server asks of a site in a round, for tests that are about something else than its fields."""

from __future__ import annotations

from typing import Any

from hqgnet.config import Experiment
from hqgnet.exchange.update import TrainRequest


def train_request(experiment: Experiment, **changes: Any) -> TrainRequest:
    """Return the request for the first round of phase ``enhance``, of two steps, with fields changed."""
    fields = {
        "run": "run-1",
        "phase": "enhance",
        "round": 1,
        "global_round": 1,
        "first_step": 0,
        "steps": 2,
        "deadline_s": 600.0,
        "experiment": experiment.to_json(),
    }
    return TrainRequest(**{**fields, **changes})
