"""Waiting for a SuperLink that is away for a while: restarted, or its machine with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from hqgnet.errors import ServerDownError

_T = TypeVar("_T")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0


class Patience:
    """Asks again while nothing answers, with longer and longer pauses.

    Args:
        limit_s: For how long, in seconds, from the first time that nothing answered.
        say: Takes a line when waiting begins.
    """

    def __init__(self, limit_s: float, say: Callable[[str], None]) -> None:
        self._limit_s = limit_s
        self._say = say

    def ask(self, question: Callable[[], _T]) -> _T:
        """Return the answer.

        Raises:
            ServerDownError: If nothing answered for longer than the limit.
        """
        begun, pause = time.monotonic(), _FIRST_PAUSE_S
        told = False
        while True:
            try:
                return question()
            except ServerDownError:
                left = self._limit_s - (time.monotonic() - begun)
                if left <= 0:
                    raise
                if not told:
                    self._say(f"the SuperLink does not answer: waiting for it, {left:.0f} s at most")
                    told = True
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE_S)
