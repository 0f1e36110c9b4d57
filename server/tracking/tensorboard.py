"""TensorBoard's event files, by tensorboardX."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from server.tracking.base import Outcome

_PREFIX = "events"
_MARK = "@"  # in no host's name, which stands before it in a file's name


class TensorBoardTracker:
    """Writes one event file, which replaces the run's earlier ones: a run that goes on is written anew.

    tensorboardX's ``SummaryWriter`` writes in a thread of its own, and blocks for good once that thread has
    met a full disk; its ``EventsWriter``, used here, writes at once and raises.

    Args:
        folder: Where; made if it is missing. Files of other runs and programs in it stay.
        run: The run's identifier; the files' names end with it.

    Raises:
        OSError: If it cannot be written; so do the methods.
    """

    def __init__(self, folder: Path, run: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.glob(f"{_PREFIX}.out.tfevents.*"):
            if earlier.name.partition(_MARK)[2] == run:
                earlier.unlink()
        self._writer = EventsWriter(str(folder / _PREFIX), f"{_MARK}{run}")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write one event with all values; it is safe on disk when this returns."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self, outcome: Outcome | None) -> None:
        """Close the file; event files do not tell how a run ended."""
        self._writer.close()
