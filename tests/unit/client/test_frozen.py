"""Frozen parameters at a site: kept when they come, taken from the disk when they do not."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from client.frozen import FILE, with_frozen
from client.refusals import RefusalError
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.update import SiteError

NAMES = ("generator.count", "generator.weight")
FROZEN: Arrays = {
    "generator.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "generator.count": np.array(4, np.int64),
}
DIGEST = digest_arrays(FROZEN)
TRAINED: Arrays = {"task.weight": np.ones(2, np.float32)}


def refused(arrays: Arrays, names: tuple[str, ...], digest: str | None, folder: Path) -> SiteError:
    with pytest.raises(RefusalError) as caught:
        with_frozen(arrays, names, digest, folder)
    return caught.value.code


def test_they_come_once(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "state"
    assert with_frozen(TRAINED | FROZEN, NAMES, DIGEST, folder) == TRAINED | FROZEN
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    later = with_frozen(TRAINED, NAMES, DIGEST, folder)
    assert later.keys() == {*TRAINED, *NAMES}
    assert digest_arrays({name: later[name] for name in NAMES}) == DIGEST


def damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("lose", [Path.unlink, damaged, flipped])
def test_what_is_lost_is_asked_for(lose: Callable[[Path], None], tmp_path: Path) -> None:
    with_frozen(TRAINED | FROZEN, NAMES, DIGEST, tmp_path)
    lose(tmp_path / FILE)
    assert refused(TRAINED, NAMES, DIGEST, tmp_path) is SiteError.FROZEN
    with_frozen(TRAINED | FROZEN, NAMES, DIGEST, tmp_path)
    assert with_frozen(TRAINED, NAMES, DIGEST, tmp_path).keys() == {*TRAINED, *NAMES}


def test_those_of_another_phase_do_not_serve(tmp_path: Path) -> None:
    with_frozen(TRAINED | FROZEN, NAMES, DIGEST, tmp_path)
    assert refused(TRAINED, NAMES, "0" * 64, tmp_path) is SiteError.FROZEN


def test_others_than_the_server_says_are_refused_and_not_kept(tmp_path: Path) -> None:
    assert refused(TRAINED | FROZEN, NAMES, "0" * 64, tmp_path) is SiteError.PARAMETERS
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(("names", "digest"), [((), DIGEST), (NAMES, None)])
def test_both_ends_take_the_same_for_frozen(
    names: tuple[str, ...], digest: str | None, tmp_path: Path
) -> None:
    assert refused(TRAINED, names, digest, tmp_path) is SiteError.PARAMETERS


def test_where_nothing_is_frozen_nothing_is_written(tmp_path: Path) -> None:
    assert with_frozen(TRAINED, (), None, tmp_path) == TRAINED
    assert not any(tmp_path.iterdir())
