"""The state of a run on the server's disk after every round: all that is needed to go on.

One safetensors file, written atomically; the one before is kept. Its metadata hold where the run stands and a
SHA-256 over that and all arrays, so that a file that is cut off or has a flipped bit is noticed and the one
before is taken. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from hqgnet.config import PhaseName
from hqgnet.errors import OutputError, Problem
from hqgnet.exchange.arrays import Array, Arrays, digest_arrays
from hqgnet.tensor_file import write_arrays

_KEY = "state"


class Position(BaseModel):
    """Where a run stands, beside its arrays.

    Attributes:
        run: The run's identifier.
        experiment: Digest of the experiment.
        phase: Of the latest round that counted.
        round: In that phase; 0 before the first.
        global_round: Over all phases.
        judged: Whether what follows the round is done: evaluation, the phase's model file.
        tested: Whether the final table is written.
        task_trained: Whether the downstream network has learned anything yet.
        best_round: Round of the model in ``models/best.safetensors``; 0 if there is none yet.
        best_score: Its validation figure; None if it was not chosen by one.
        counted: By site, the step with which its latest update of the phase that counted ended.
        distances: For :class:`server.guards.NormGuard`, by round.
        cues_taken: For :class:`server.cue_bank.BankKeeper`; the bank itself stands among the arrays.
        cues_extractor: Likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    experiment: str
    phase: PhaseName
    round: int = 0
    global_round: int = 0
    judged: bool = True
    tested: bool = False
    task_trained: bool = False
    best_round: int = 0
    best_score: float | None = None
    counted: dict[str, int] = {}
    distances: tuple[tuple[float, ...], ...] = ()
    cues_taken: int = -1
    cues_extractor: str = ""


def save_state(path: Path, position: Position, arrays: Mapping[str, Array]) -> None:
    """Write the state in one step; the one that stood there becomes the previous one.

    Args:
        path: ``state/latest.safetensors``.
        position: Where the run stands.
        arrays: See :meth:`server.global_model.GlobalModel.state`.

    Raises:
        OutputError: If it cannot be written.
    """
    text = position.model_dump_json()
    metadata = {_KEY: json.dumps({"position": text, "sha256": _digest(text, arrays)})}
    try:
        if path.exists():
            os.replace(path, _previous(path))
    except OSError as error:
        what = f"cannot be renamed ({error.strerror or error})"
        raise OutputError(Problem(str(path), what, "Check that its folder is writable")) from error
    write_arrays(path, arrays, metadata)


def load_state(path: Path) -> tuple[Position, Arrays] | None:
    """Return the newest state that is whole; None if none was ever written.

    A latest file that is damaged is deleted, so that it never takes the place of the previous one.

    Raises:
        OutputError: If there are files, and none of them is whole.
    """
    present = [file for file in (path, _previous(path)) if file.exists()]
    for file in present:
        state = _read(file)
        if state is not None:
            return state
        if file == path and len(present) > 1:
            file.unlink()
    if not present:
        return None
    names = " and ".join(file.name for file in present)
    what = f"{names}: damaged, so that the run cannot go on"
    raise OutputError(
        Problem(str(path.parent), what, "Start the run again with --overwrite; check that disk")
    )


def _read(file: Path) -> tuple[Position, Arrays] | None:
    try:
        with safe_open(file, framework="numpy") as opened:
            header = json.loads((opened.metadata() or {})[_KEY])
            arrays: Arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if header["sha256"] != _digest(header["position"], arrays):
            return None
        return Position.model_validate_json(header["position"]), arrays
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, ValidationError):
        return None


def _digest(position: str, arrays: Mapping[str, Array]) -> str:
    return hashlib.sha256(f"{position}\n{digest_arrays(arrays)}".encode()).hexdigest()


def _previous(path: Path) -> Path:
    return path.with_name("previous.safetensors")
