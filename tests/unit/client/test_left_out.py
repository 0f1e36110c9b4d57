"""What compression left out is kept like other private state: by phase and step, until it is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from client.left_out import LeftOut


def arrays(value: float) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"generator.weight": np.full((3, 4), value, np.float32)}


def test_a_round_that_is_repeated_finds_what_it_began_with(tmp_path: Path) -> None:
    kept = LeftOut(tmp_path / "left-out")
    assert kept.load("enhance", 0) == {}
    for step in (2, 4, 6):
        kept.save("enhance", step, arrays(step))
    for step in (2, 4, 6):
        found = kept.load("enhance", step)
        np.testing.assert_array_equal(found["generator.weight"], arrays(step)["generator.weight"])
    assert kept.load("enhance", 0) == {}


def test_nothing_stands_in_for_what_the_server_has_not(tmp_path: Path) -> None:
    kept = LeftOut(tmp_path)
    kept.save("enhance", 2, arrays(2))
    assert kept.load("enhance", 4) == {}


def test_what_was_left_out_of_the_update_that_counted_stays(tmp_path: Path) -> None:
    kept = LeftOut(tmp_path)
    for step in (2, 4, 6, 8, 10):
        kept.save("enhance", step, arrays(step), counted=2)
    assert kept.load("enhance", 2)["generator.weight"][0, 0] == 2
    kept.save("enhance", 12, arrays(12), counted=10)
    assert kept.load("enhance", 2) == {}


def test_a_phase_begins_with_nothing(tmp_path: Path) -> None:
    kept = LeftOut(tmp_path)
    kept.save("enhance", 4, arrays(1))
    assert kept.load("cooperate", 4) == {}


def test_three_generations_are_kept_and_no_abandoned_ones(tmp_path: Path) -> None:
    kept = LeftOut(tmp_path)
    for step in (1, 2, 3, 4):
        kept.save("enhance", step, arrays(step))
    kept.save("cooperate", 1, arrays(9))
    assert len(list(tmp_path.iterdir())) == 4
    kept.save("enhance", 3, arrays(33))
    assert {file.name for file in tmp_path.iterdir()} == {
        "enhance-00000002.safetensors",
        "enhance-00000003.safetensors",
    }
    assert kept.load("enhance", 3)["generator.weight"][0, 0] == 33


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"\x7f", lambda _: b""])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, damage: object) -> None:
    kept = LeftOut(tmp_path)
    kept.save("enhance", 1, arrays(1))
    kept.save("enhance", 2, arrays(2))
    file = tmp_path / "enhance-00000002.safetensors"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert kept.load("enhance", 2) == {}
    assert kept.load("enhance", 1)["generator.weight"][0, 0] == 1


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    LeftOut(tmp_path).save("enhance", 1, arrays(1))
    assert (tmp_path / "enhance-00000001.safetensors").stat().st_mode & 0o777 == 0o600


def test_nothing_left_over_is_kept_too(tmp_path: Path) -> None:
    kept = LeftOut(tmp_path)
    kept.save("enhance", 1, arrays(1))
    kept.save("enhance", 2, {})
    assert kept.load("enhance", 2) == {}
