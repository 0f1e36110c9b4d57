"""What a tracker is, and one that never ends a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

LOGGER = logging.getLogger("hqgnet.server")
Warn = Callable[[str], None]


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

    def close(self) -> None:
        """Bring everything to its place; nothing is given afterwards. May raise anything."""


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

    def close(self) -> None:
        """Close it, if it is open and has not failed."""
        if self._tracker is None or self._failed:
            return
        try:
            self._tracker.close()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        LOGGER.warning("tracking with %s failed", self._name, exc_info=error)
        remedy = "hqgnet-server track makes the curves anew"
        self._warn(f"{self._name} failed ({told(error)}); the run goes on without it. {remedy}")


def told(error: Exception) -> str:
    """Return an error of somebody else's library in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(": ")
