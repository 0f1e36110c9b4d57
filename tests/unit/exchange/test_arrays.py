"""Types and copies on the way from tensors to arrays and back."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from hqgnet.exchange.arrays import (
    Array,
    ArrayError,
    ArrayFault,
    ArraySpec,
    check_arrays,
    digest_arrays,
    distance,
    norm,
    specs,
    to_arrays,
    to_tensors,
)


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


def test_the_digest_tells_names_types_shapes_and_values_apart() -> None:
    base = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(1, np.int64)}
    others = [
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"].reshape(3, 2), "b": base["b"]},
        {"a": base["a"].view(np.int32).astype(np.int64), "b": base["b"]},
        {"a": -base["a"], "b": base["b"]},
        {"a": base["a"]},
        {},
    ]
    digests = {digest_arrays(arrays) for arrays in [base, *others]}
    assert len(digests) == 1 + len(others)
    strided = {"b": base["b"], "a": np.asfortranarray(base["a"])}
    assert digest_arrays(strided) == digest_arrays(base)
    # Worked out by hand from the description: it must stay the same on every machine and in every version.
    told = b"1:a:float32:(2,):" + np.array([1.0, -2.0], "<f4").tobytes()
    assert digest_arrays({"a": np.array([1.0, -2.0], np.float32)}) == hashlib.sha256(told).hexdigest()


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("a", np.array([1.0, np.nan], np.float32), ArrayFault.NOT_FINITE),
        ("a", np.array([-np.inf, 1.0], np.float32), ArrayFault.NOT_FINITE),
        ("a", np.array([0.0, -3e37], np.float32), ArrayFault.NOT_FINITE),
        ("a", np.array([-1], np.int64), ArrayFault.NOT_FINITE),
        ("a", np.array([2**32], np.int64), ArrayFault.NOT_FINITE),
        ("norm.running_var", np.array([1.0, -1e-6], np.float32), ArrayFault.NEGATIVE),
    ],
)
def test_numbers_that_no_training_gives_are_refused(name: str, array: Array, fault: ArrayFault) -> None:
    expected = {name: ArraySpec(array.shape, str(array.dtype))}
    with pytest.raises(ArrayError) as caught:
        check_arrays({name: array}, expected)
    assert caught.value.fault is fault
    sane: Array = np.abs(np.nan_to_num(np.clip(array, -1, 1)))
    check_arrays({name: sane.astype(array.dtype)}, expected)
    check_arrays({name: array[:0]}, {name: ArraySpec((0,), str(array.dtype))})


def test_norm_and_distance_count_float_arrays_only() -> None:
    arrays = {
        "a": np.array([3.0, 0.0], np.float32),
        "b": np.array(4.0, np.float32),
        "n": np.array(9, np.int64),
    }
    assert norm(arrays) == 5.0
    assert distance(arrays, {name: np.zeros_like(array) for name, array in arrays.items()}) == 5.0
    assert distance(arrays, arrays) == 0.0
    large = {"a": np.full(2, 3e38, np.float32)}
    assert np.isfinite(distance(large, {"a": -large["a"]}))
