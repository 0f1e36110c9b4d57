"""Turns in which actions are taken and timed, by a clock that only they move."""

from __future__ import annotations

import pytest

from benchmarks.interleaved import interleaved, ratio


class Machine:
    """Its clock stands still but for what it is asked to do; another action before costs a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def clock(self) -> float:
        return self.now

    def take(self, name: str, seconds: float) -> None:
        disturbed = bool(self.done) and self.done[-1] != name
        self.done.append(name)
        self.now += seconds + disturbed


@pytest.mark.parametrize(("settle", "expected"), [(False, (2.0, 3.0)), (True, (1.0, 2.0))])
def test_a_settled_action_is_not_charged_with_what_came_before(
    settle: bool, expected: tuple[float, float]
) -> None:
    machine = Machine()
    actions = {"a": lambda: machine.take("a", 1.0), "b": lambda: machine.take("b", 2.0)}
    taken = interleaved(actions, 3, machine.clock, settle=settle)
    assert (taken["a"][0], taken["b"][0]) == expected
    assert [len(times) for times in taken.values()] == [3, 3]


def test_every_other_round_is_taken_in_reverse_and_the_first_of_all_does_not_count() -> None:
    machine = Machine()
    actions = {name: lambda name=name: machine.take(name, 1.0) for name in "abc"}
    interleaved(actions, 2, machine.clock)
    assert "".join(machine.done) == "abc" + "abc" + "cba"


def test_a_ratio_is_the_median_of_those_of_single_rounds() -> None:
    assert ratio({"a": [1.0, 9.0, 4.0], "b": [1.0, 3.0, 1.0]}, "a", "b") == 3.0
