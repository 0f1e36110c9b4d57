"""Types and copies on the way from tensors to arrays and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqgnet.exchange.arrays import ArrayError, ArrayFault, check_arrays, specs, to_arrays, to_tensors


def test_shapes_and_types_survive() -> None:
    state = {
        "weight": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(1.5),
        "seen": torch.tensor(4),
    }
    arrays = to_arrays(state, state)
    check_arrays(arrays, specs(state, state))
    assert all(array.flags.c_contiguous for array in arrays.values())
    for name, tensor in to_tensors(arrays).items():
        assert torch.equal(tensor, state[name]) and tensor.dtype == state[name].dtype


def test_tensors_are_copies() -> None:
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    tensors = to_tensors({"a": array})
    tensors["a"] += 1
    assert array.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.bool])
def test_other_types_do_not_travel(dtype: torch.dtype) -> None:
    with pytest.raises(ArrayError) as caught:
        to_arrays({"a": torch.zeros(2, dtype=dtype)}, ["a"])
    assert caught.value.fault is ArrayFault.DTYPE
