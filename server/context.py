"""What every part of a run on the server works with."""

from __future__ import annotations

from dataclasses import dataclass

from flwr.serverapp import Grid

from hqgnet.config import Experiment
from hqgnet.exchange.audit import AuditLog
from server.progress import Progress
from server.run_directory import RunDirectory


@dataclass(frozen=True)
class RunContext:
    """One run.

    Attributes:
        grid: Flower's.
        experiment: What to train.
        run: The run's identifier, the same after a resume; sites name their private folder by it.
        directory: Prepared.
        progress: Told what happens.
        audit: Gets what an auditor must be able to prove.
    """

    grid: Grid
    experiment: Experiment
    run: str
    directory: RunDirectory
    progress: Progress
    audit: AuditLog
