"""The state of a run on the server's disk after every round, written atomically."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import save

from hqgnet.config import PhaseName
from hqgnet.files import write_atomically
from server.global_model import GlobalModel


def save_state(
    path: Path, model: GlobalModel, *, run: str, phase: PhaseName, number: int, global_round: int
) -> None:
    """Write both copies of the global parameters and where the run stands, in one step.

    Raises:
        OutputError: If it cannot be written.
    """
    tensors = {f"latest.{name}": array for name, array in model.latest.items()}
    # Where the two copies share an array, one is written.
    tensors |= {
        f"published.{name}": array
        for name, array in model.published.items()
        if array is not model.latest[name]
    }
    position = {"run": run, "phase": phase, "round": number, "global_round": global_round}
    write_atomically(path, save(tensors, {"state": json.dumps(position)}))
