"""Timing several things in turns, for ratios that hold while the machine does other work too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from benchmarks.harness import median

Clock = Callable[[], float]


def clock_of(*, busy: bool) -> Clock:
    """Return the clock to measure by: of the wall, or on a busy machine of this process.

    The latter counts waiting threads too, which spin: it means something with one thread alone.
    """
    return time.process_time if busy else time.perf_counter


def interleaved(
    actions: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Clock = time.perf_counter,
    *,
    settle: bool = False,
) -> dict[str, list[float]]:
    """Return how many seconds each action took in each of ``repeats`` rounds, after one that does not count.

    A round takes every action once, every other round in reverse order.

    Args:
        actions: By name.
        repeats: Rounds.
        clock: See :func:`clock_of`.
        settle: Take each action once more, uncounted, before it counts: threads of another runtime spin for
            a while after their work is done, and caches hold the weights of the network before.
    """
    for action in actions.values():
        action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for index in range(repeats):
        names = list(actions)
        for name in names if index % 2 == 0 else reversed(names):
            if settle:
                actions[name]()
            begun = clock()
            actions[name]()
            taken[name].append(clock() - begun)
    return taken


def ratio(taken: Mapping[str, list[float]], first: str, second: str) -> float:
    """Return the median over the rounds of the first action's time over the second's."""
    return median([a / b for a, b in zip(taken[first], taken[second], strict=True)])
