"""What a tracker is, and one that never ends a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

LOGGER = logging.getLogger("hqgnet.server")
Warn = Callable[[str], None]
Outcome = Literal["completed", "failed", "stopped"]
"""How a run ended; ``stopped``: somebody interrupted it."""


class Tracker(Protocol):
    """Takes scalars and keeps them where a viewer finds them.

    Every pair of step and name is given once to an open tracker. A tracker that is opened again, for a run
    that goes on, is given everything from the first step: it must not keep a point twice.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values of one step; may raise anything.

        Args:
            step: Round, counted over all phases.
            values: Finite numbers by name, such as ``validation/psnr_enhanced/site-1``.
        """

    def close(self, outcome: Outcome | None) -> None:
        """Bring everything to its place; nothing is given afterwards. May raise anything.

        Args:
            outcome: How the run ended; None where it is not known to be over.
        """


class ForgivingTracker:
    """Opens a tracker at the first scalars; one that fails is warned of once and given nothing more.

    A disk that is full, or a server that is away, costs the curves and never the run.

    Args:
        name: Of the tracker, for the warning.
        open_tracker: Opens it.
        warn: Takes the warning.
    """

    def __init__(self, name: str, open_tracker: Callable[[], Tracker], warn: Warn) -> None:
        self._name = name
        self._open_tracker = open_tracker
        self._warn = warn
        self._tracker: Tracker | None = None
        self._failed = False

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Pass the values on; see :class:`Tracker`."""
        if self._failed:
            return
        try:
            if self._tracker is None:
                self._tracker = self._open_tracker()
            self._tracker.scalars(step, values)
        except Exception as error:
            self._give_up(error)

    def close(self, outcome: Outcome | None) -> None:
        """Close it, if it was opened: one that has failed as well, so that it does not seem to go on."""
        if self._tracker is None:
            return
        try:
            self._tracker.close(outcome)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        LOGGER.warning("tracking with %s failed", self._name, exc_info=error)
        if self._failed:
            return
        self._failed = True
        remedy = "hqgnet-server track makes the curves anew"
        self._warn(f"{self._name} failed ({told(error)}); the run goes on without it. {remedy}")


def told(error: Exception) -> str:
    """Return an error of somebody else's library in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")
