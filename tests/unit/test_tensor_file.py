"""Files of tensors: what is in them, who may read them, and what is left when the disk is full."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from hqgnet.errors import OutputError
from hqgnet.files import remove_unfinished
from hqgnet.tensor_file import write_arrays, write_tensors

WEIGHTS = torch.arange(48.0).reshape(2, 3, 4, 2)
TENSORS = {
    "last": WEIGHTS.to(memory_format=torch.channels_last),
    "step": torch.tensor(3),
    "grown": torch.ones(2, requires_grad=True),
}
ARRAYS = {"turned": WEIGHTS.numpy().transpose(3, 2, 0, 1), "count": np.array(7, np.int64)}
Write = Callable[..., None]


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As on a disk with no more room; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_tensors_are_as_safetensors_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"told": "yes"})
    plain = {name: value.detach().contiguous() for name, value in TENSORS.items()}
    assert path.read_bytes() == save(plain, {"told": "yes"})
    found = load(path.read_bytes())
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())


def test_one_tensor_may_have_several_names(tmp_path: Path) -> None:
    """A user's downstream network may use a layer twice: no training is to be lost for that."""
    path, whole = tmp_path / "a.safetensors", torch.arange(6.0)
    write_tensors(path, {"embedding": whole, "head": whole, "part": whole[2:4], "none": torch.empty(0)})
    found = load(path.read_bytes())
    assert torch.equal(found["embedding"], whole) and torch.equal(found["head"], whole)
    assert torch.equal(found["part"], whole[2:4]) and found["none"].numel() == 0


def test_arrays_are_written_as_they_read_and_not_as_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, ARRAYS)
    found = load(path.read_bytes())
    assert found["count"] == 7 and found["count"].dtype is torch.int64
    assert torch.equal(found["turned"], WEIGHTS.permute(3, 2, 0, 1))


@pytest.mark.parametrize(("write", "content"), [(write_tensors, TENSORS), (write_arrays, ARRAYS)])
def test_only_those_may_read_who_should(write: Write, content: dict[str, Any], tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "usual", content)
        write(tmp_path / "private", content, mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "usual").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("write", [write_tensors, write_arrays])
def test_a_full_disk_leaves_the_old_file(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    large = {"w": torch.zeros(100_000) if write is write_tensors else np.zeros(100_000, np.float32)}
    with no_file_beyond(10_000), pytest.raises(OutputError, match=r"a\.safetensors.*cannot be written"):
        write(path, large)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "no" / "a.safetensors", large)


def test_what_a_kill_leaves_is_removed(tmp_path: Path) -> None:
    for name in (".tmpHuT6Pn", ".0123456789abcdef.tmp", "a.safetensors", ".hidden"):
        (tmp_path / name).write_bytes(b"half")
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.safetensors"]
