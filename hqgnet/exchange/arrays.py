"""Arrays as they cross the wire: names, shapes, two types, finite numbers, and nothing else.

Weights travel as float32, counters (batches seen by a normalisation layer) as int64. Other types are
refused: bfloat16 has no place in numpy, and a silent conversion would change what a site sent.

torch is loaded only where tensors are made: a hospital's daemon and courier handle arrays without it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float32] | NDArray[np.int64]
Arrays = dict[str, Array]
_DTYPES = {"torch.float32": "float32", "torch.int64": "int64"}
# Bounded so that a weighted sum over sites cannot overflow.
_LARGEST_INTEGER = 2**32
_LARGEST_FLOAT = 1e30
# OpenBLAS brings threads to longer products, which wait for each other on a busy machine.
_BLOCK = 8192


class ArrayFault(StrEnum):
    """What can be wrong with a set of arrays."""

    MISSING = "array-missing"
    UNKNOWN = "array-unknown"
    SHAPE = "array-shape"
    DTYPE = "array-dtype"
    NOT_FINITE = "array-not-finite"
    NEGATIVE = "array-variance-negative"


class ArrayError(ValueError):
    """A set of arrays is not what the phase of the run asks for.

    Args:
        fault: What is wrong.
        name: Of the first array concerned.
    """

    def __init__(self, fault: ArrayFault, name: str) -> None:
        super().__init__(f"{fault}: {name}")
        self.fault = fault
        self.name = name


@dataclass(frozen=True)
class ArraySpec:
    """Shape and type of one array."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def specs(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, ArraySpec]:
    """Return what the arrays of ``names`` must look like.

    Raises:
        ArrayError: If a tensor has a type that does not travel.
    """
    return {name: ArraySpec(tuple(tensors[name].shape), _dtype(name, tensors[name])) for name in names}


def to_arrays(tensors: Mapping[str, Tensor], names: Iterable[str]) -> Arrays:
    """Return the named tensors as numpy arrays that share memory with them where they lie on the CPU.

    Raises:
        ArrayError: If a tensor has a type that does not travel.
    """
    for name in (names := tuple(names)):
        _dtype(name, tensors[name])
    return {name: tensors[name].detach().cpu().contiguous().numpy() for name in names}


def to_tensors(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Return copies of the arrays as tensors."""
    import torch

    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def check_arrays(arrays: Mapping[str, Array], expected: Mapping[str, ArraySpec]) -> None:
    """Check that ``arrays`` are exactly the expected ones: same names, shapes and types, all numbers sane.

    Sane is a float32 of at most 1e30, an integer from 0 to 2^32, a running variance that is none below 0.

    Raises:
        ArrayError: For the first fault found; shapes are compared as they are, nothing is broadcast.
    """
    for name in expected:
        if name not in arrays:
            raise ArrayError(ArrayFault.MISSING, name)
    for name, array in arrays.items():
        spec = expected.get(name)
        if spec is None:
            raise ArrayError(ArrayFault.UNKNOWN, name)
        if str(array.dtype) != spec.dtype:
            raise ArrayError(ArrayFault.DTYPE, name)
        if tuple(array.shape) != spec.shape:
            raise ArrayError(ArrayFault.SHAPE, name)
        if not _sane(array):
            raise ArrayError(ArrayFault.NOT_FINITE, name)
        if name.endswith("running_var") and array.size and array.min() < 0:
            raise ArrayError(ArrayFault.NEGATIVE, name)


def is_statistic(name: str) -> bool:
    """Return whether an array holds running means or variances of a normalisation layer."""
    return name.endswith(("running_mean", "running_var"))


def digest_arrays(arrays: Mapping[str, Array]) -> str:
    """SHA-256 (hex) over name, type, shape and bytes of every array, in the order of the names."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{len(name)}:{name}:{array.dtype.name}:{array.shape}:".encode())
        # Little-endian and in C order, whatever the machine and the array's own order.
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(plain.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def norm(arrays: Mapping[str, Array]) -> float:
    """L2 norm over all numbers of the float arrays together; counters have no part in it."""
    return math.sqrt(math.fsum(_square(array) for array in arrays.values() if _is_float(array)))


def distance(arrays: Mapping[str, Array], origin: Mapping[str, Array]) -> float:
    """L2 norm of the difference between float arrays and those of the same names in ``origin``."""
    return math.sqrt(
        math.fsum(
            _squared_distance(array.reshape(-1), origin[name].reshape(-1))
            for name, array in arrays.items()
            if _is_float(array)
        )
    )


def _squared_distance(first: Array, second: Array) -> float:
    # In blocks that stay in the processor's cache: faster, and without copies of the whole array.
    return math.fsum(
        _square(first[start : start + _BLOCK].astype(np.float64) - second[start : start + _BLOCK])
        for start in range(0, first.size, _BLOCK)
    )


def _square(array: Array | NDArray[np.float64]) -> float:
    flat = array.reshape(-1).astype(np.float64, copy=False)
    return float(flat @ flat)


def _is_float(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))


def _sane(array: Array) -> bool:
    if np.issubdtype(array.dtype, np.integer):
        return bool(np.all((array >= 0) & (array < _LARGEST_INTEGER)))
    # NaN is in no order, and so not within bounds.
    return not array.size or bool(array.max() <= _LARGEST_FLOAT and array.min() >= -_LARGEST_FLOAT)


def _dtype(name: str, tensor: Tensor) -> str:
    dtype = str(tensor.dtype)
    if dtype not in _DTYPES:
        raise ArrayError(ArrayFault.DTYPE, name)
    return _DTYPES[dtype]
