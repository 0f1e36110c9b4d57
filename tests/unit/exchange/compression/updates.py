"""A small model and an update of it, with all kinds of arrays that travel."""

from __future__ import annotations

import numpy as np

from hqgnet.exchange.arrays import Array, Arrays, ArraySpec

# Convolutions, one of them depthwise and one with a single channel; a matrix; what stays exact.
SHAPES: dict[str, tuple[int, ...]] = {
    "generator.conv.weight": (16, 24, 3, 3),
    "generator.depthwise.weight": (128, 1, 3, 3),
    "generator.last.weight": (1, 128, 3, 3),
    "task.linear.weight": (40, 50),
    "task.linear.bias": (40,),
    "task.wide.bias": (2000,),
    "task.small.weight": (4, 4),
}
LARGE = ("generator.conv.weight", "generator.depthwise.weight", "generator.last.weight", "task.linear.weight")


def model(seed: int = 0) -> Arrays:
    """Parameters, and a counter."""
    generator = np.random.default_rng(seed)
    arrays: Arrays = {
        name: generator.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()
    }
    return arrays | {"task.norm.num_batches_tracked": np.array(41, np.int64)}


def trained(base: Arrays, seed: int = 1, size: float = 1e-3) -> Arrays:
    """The same, a round later: each array moved by noise of a size of its own."""
    generator = np.random.default_rng(seed)
    moved: dict[str, Array] = {}
    for name, array in base.items():
        if array.dtype == np.int64:
            moved[name] = array + 5
            continue
        step = generator.standard_normal(array.shape) * size * generator.uniform(0.1, 10)
        moved[name] = np.asarray(array + step, np.float32)
    return moved


def forms(arrays: Arrays) -> dict[str, ArraySpec]:
    """What such arrays must look like."""
    return {name: ArraySpec(array.shape, str(array.dtype)) for name, array in arrays.items()}
