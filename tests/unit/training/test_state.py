"""Private state on disk: generations, abandoned time lines, damaged files, and kills at every instant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from hqgnet.errors import OutputError
from hqgnet.training.state import PrivateState


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"networks.discriminator.w": torch.full((3,), value), "adam.d.step": torch.tensor(int(value))}


def kept(folder: Path) -> list[str]:
    return sorted(file.name.removesuffix(".safetensors") for file in folder.iterdir())


def test_the_newest_three_of_a_phase_are_kept(tmp_path: Path) -> None:
    state = PrivateState(tmp_path / "state")
    for step in (2, 4, 6, 8, 10):
        state.save("enhance", step, tensors(step))
    assert kept(tmp_path / "state") == ["enhance-00000006", "enhance-00000008", "enhance-00000010"]
    for asked, expected in ((6, 6), (7, 6), (9, 8), (10, 10), (99, 10)):
        stored = state.load("enhance", asked)
        assert stored is not None and stored.next_step == expected
        assert float(stored.tensors["networks.discriminator.w"][0]) == expected
    assert state.load("enhance", 5) is None


def test_however_often_a_round_is_repeated_its_beginning_is_there(tmp_path: Path) -> None:
    state = PrivateState(tmp_path)
    state.save("enhance", 2, tensors(2))
    for attempt in range(5):
        stored = state.load("enhance", 2)
        assert stored is not None and stored.next_step == 2
        state.save("enhance", 4, tensors(40 + attempt))
    again = state.load("enhance", 4)
    assert again is not None and float(again.tensors["networks.discriminator.w"][0]) == 44


def test_saving_ends_the_time_lines_ahead(tmp_path: Path) -> None:
    state = PrivateState(tmp_path)
    for step in (2, 4, 6):
        state.save("pretrain", step, tensors(step))
    state.save("enhance", 2, tensors(20))
    state.save("pretrain", 4, tensors(44))
    assert kept(tmp_path) == ["pretrain-00000002", "pretrain-00000004"]
    begun = state.load("enhance", 0)
    assert begun is not None and begun.next_step == 0
    assert {name: float(value[0]) for name, value in begun.tensors.items()} == {
        "networks.discriminator.w": 44
    }


def _cut(data: bytes) -> bytes:
    return data[:-3]


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [_cut, _flip, lambda data: b"", lambda data: b"\xff" * 200])
def test_a_damaged_file_gives_way_to_the_one_before(tmp_path: Path, damage: Any) -> None:
    state = PrivateState(tmp_path)
    for step in (2, 4):
        state.save("enhance", step, tensors(step))
    newest = tmp_path / "enhance-00000004.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    stored = state.load("enhance", 4)
    assert stored is not None and stored.next_step == 2
    newest.write_bytes((tmp_path / "enhance-00000002.safetensors").read_bytes())
    stored = state.load("enhance", 4)
    assert stored is not None and stored.next_step == 2


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours may catch it."""


@pytest.mark.parametrize("call", ["fsync", "replace", "unlink"])
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_instant_leaves_the_state_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    state = PrivateState(tmp_path)
    for step in (2, 4, 6):
        state.save("enhance", step, tensors(step))
    original = getattr(os, call)

    def dying(*arguments: Any, **options: Any) -> None:
        if after:
            original(*arguments, **options)
        raise Killed

    monkeypatch.setattr(os, call, dying)
    with pytest.raises(Killed):
        state.save("enhance", 8, tensors(8))
    monkeypatch.undo()
    for asked, expected in ((6, {6}), (8, {6, 8})):
        stored = PrivateState(tmp_path).load("enhance", asked)
        assert stored is not None and stored.next_step in expected
        assert float(stored.tensors["networks.discriminator.w"][0]) == stored.next_step
    (tmp_path / ".0123456789abcdef.tmp").write_bytes(b"left by SIGKILL")
    state.save("enhance", 8, tensors(8))
    assert kept(tmp_path) == ["enhance-00000004", "enhance-00000006", "enhance-00000008"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = PrivateState(tmp_path)
    state.save("enhance", 2, tensors(2))

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        state.save("enhance", 4, tensors(4))
    monkeypatch.undo()
    assert kept(tmp_path) == ["enhance-00000002"]
