"""The server's state on disk: whole or not at all, and never silently something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqgnet.config import Experiment
from hqgnet.errors import OutputError
from server.checkpoints import Position, load_state, save_state
from server.global_model import GlobalModel

PREVIOUS = "previous.safetensors"


def position(number: int) -> Position:
    return Position(
        run="r-1",
        experiment="e",
        phase="enhance",
        round=number,
        global_round=number + 2,
        judged=False,
        best_score=17.123456789012345,
        distances=((0.1, 1 / 3), (2e-17,)),
    )


def arrays(value: float) -> dict[str, Any]:
    return {"latest.w": np.full((2, 3), value, np.float32), "latest.seen": np.array(3, np.int64)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "latest.safetensors"
    for number in (1, 2):
        save_state(path, position(number), arrays(number))
    return path


def round_of(path: Path) -> int:
    state = load_state(path)
    assert state is not None
    assert state[1]["latest.w"].tolist() == [[state[0].round] * 3] * 2
    return state[0].round


def test_what_was_saved_is_loaded_bit_for_bit(path: Path) -> None:
    state = load_state(path)
    assert state is not None
    assert state[0] == position(2)
    assert {name: (a.dtype, a.shape) for name, a in state[1].items()} == {
        "latest.w": (np.float32, (2, 3)),
        "latest.seen": (np.int64, ()),
    }
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, PREVIOUS]


def test_strides_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "latest.safetensors"
    strided = np.arange(6, dtype=np.float32).reshape(3, 2).T
    save_state(path, position(1), {"strategy.m": strided})
    state = load_state(path)
    assert state is not None and np.array_equal(state[1]["strategy.m"], strided)


def test_none_was_ever_written(tmp_path: Path) -> None:
    assert load_state(tmp_path / "latest.safetensors") is None


def damages() -> list[Any]:
    def cut(data: bytes) -> bytes:
        return data[: len(data) // 2]

    def flip_array(data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1])

    def change_position(data: bytes) -> bytes:
        assert b'global_round\\\\\\":4' in data
        return data.replace(b'global_round\\\\\\":4', b'global_round\\\\\\":5')

    return [cut, flip_array, change_position, lambda data: b""]


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_state_gives_way_to_the_one_before(path: Path, damage: Any) -> None:
    path.write_bytes(damage(path.read_bytes()))
    assert round_of(path) == 1
    # The damaged one must not take the place of the whole one when the run goes on.
    save_state(path, position(2), arrays(2))
    path.write_bytes(b"")
    assert round_of(path) in (1, 2)


def test_with_both_damaged_nothing_is_invented(path: Path) -> None:
    path.write_bytes(b"x")
    path.with_name(PREVIOUS).write_bytes(path.with_name(PREVIOUS).read_bytes()[:-1])
    with pytest.raises(OutputError, match="damaged, so that the run cannot go on"):
        load_state(path)


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_instant_leaves_the_state_before_or_after(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, after: bool
) -> None:
    original, calls = getattr(os, call), []

    def dying(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == nth and not after:
            raise Killed
        original(*arguments)
        if len(calls) == nth:
            raise Killed

    monkeypatch.setattr(os, call, dying)
    with pytest.raises(Killed):
        save_state(path, position(3), arrays(3))
    monkeypatch.undo()
    assert round_of(path) in (2, 3)


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_model_goes_on_as_if_never_stopped(
    tiny_experiment: Experiment, tmp_path: Path, average: float
) -> None:
    federation = tiny_experiment.federation.model_copy(update={"server_average": average})
    experiment = tiny_experiment.model_copy(update={"federation": federation})
    unbroken = GlobalModel(experiment)
    generator = np.random.default_rng(0)

    def mean() -> dict[str, Any]:
        sent = unbroken.outgoing("enhance")
        return {
            name: np.asarray(array + generator.standard_normal(array.shape), np.float32)
            for name, array in sent.items()
            if array.dtype == np.float32
        }

    unbroken.begin_phase()
    unbroken.step(mean())
    save_state(tmp_path / "s", position(1), unbroken.state())
    state = load_state(tmp_path / "s")
    assert state is not None
    resumed = GlobalModel(experiment)
    resumed.load_state(state[1], 1)
    second = mean()
    unbroken.step(second)
    resumed.step(second)
    for ours, theirs in ((unbroken.latest, resumed.latest), (unbroken.published, resumed.published)):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(array, theirs[name]) for name, array in ours.items())
