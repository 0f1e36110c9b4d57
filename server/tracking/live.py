"""Following a run's files while it goes on, beside it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

from server.progress import Follower
from server.tracking.base import LOGGER, ForgivingTracker, Outcome, Warn
from server.tracking.choice import Choice, TrackedRun
from server.tracking.scalars import RowScalars

_PAUSE_S = 1.0
_LAST_WORDS_S = 15.0


class LiveTracking:
    """Brings every new row of a run to its trackers, in a thread: the run never waits for a tracker.

    The rows are read from the run's files, from the first one on: when a run goes on, what it wrote before it
    was stopped is brought again.

    Args:
        run: Its files have been made ready: nothing is taken out of them any more.
        choices: Trackers; none: nothing is done.
        warn: Takes one warning for each tracker that fails.
    """

    def __init__(self, run: TrackedRun, choices: Sequence[Choice], warn: Warn) -> None:
        self._trackers = [
            ForgivingTracker(str(choice), partial(choice.open, run), warn) for choice in choices
        ]
        self._warn = warn
        self._rounds = Follower(run.folder / "rounds.jsonl")
        self._evaluations = Follower(run.folder / "metrics.jsonl")
        self._scalars = RowScalars()
        self._over = threading.Event()
        self._outcome: Outcome = "completed"
        self._thread = threading.Thread(target=self._follow, name="tracking", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        if self._trackers:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring the last rows, and close the trackers with how the run ended.

        One that takes too long is left behind.
        """
        if not self._trackers:
            return
        if error is not None:
            self._outcome = "failed" if isinstance(error, Exception) else "stopped"
        self._over.set()
        self._thread.join(_LAST_WORDS_S)
        if self._thread.is_alive():
            self._warn("a tracker did not take the last rows; hqgnet-server track makes the curves anew")

    def _follow(self) -> None:
        try:
            over = False
            while not over:
                over = self._over.wait(_PAUSE_S)
                self._forward()
        except Exception as error:  # a run must not end because its own files cannot be read here
            LOGGER.warning("tracking failed", exc_info=error)
            self._warn(f"the run's files cannot be read ({type(error).__name__}); the run goes on without it")
        finally:
            self._over.wait()  # a run whose files cannot be read here still goes on
            for tracker in self._trackers:
                tracker.close(self._outcome)

    def _forward(self) -> None:
        # In this order: a row of an evaluation is written after the row of its round.
        evaluations = list(self._evaluations.new_events())
        rounds = list(self._rounds.new_events())
        for step, values in self._scalars.of(rounds, evaluations).items():
            for tracker in self._trackers:
                tracker.scalars(step, values)
