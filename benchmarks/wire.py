"""What each form of an update and of a model costs: bytes, time, error, memory.

``python -m benchmarks.wire --params 66400000 --json``

Shapes are those of a preset: cue extractor, generator, segmentor, as many tensors as hold the asked numbers,
or all. Values are made up: weights, and a round's difference, normal noise with a scale for each
tensor. Each form is measured in a fresh process:

- ``bytes_over_float32``: the message's bytes over those of the same arrays as float32, names and schema
  included.
- ``encode_seconds``: for an update the difference, codec, zstd, and what the site needs itself: decoding what
  it sends, for its audit and for error feedback. For plain float32: packing.
- ``decode_seconds``: from the message's bytes to checked shapes and arrays.
- ``relative_error``, ``max_abs_error``: of the decoded difference (of a model: of the decoded numbers) in L2
  norm over all, and of the worst number over the largest.
- ``relative_error_of_rounds``: the same error of the sum over four rounds of the same update.
- ``peak_model_copies``: memory that encoding takes beyond what it is given, over a model's, the message and
  what error feedback keeps included.

One thread does all of it; ``--threads`` is told, and changes nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import (
    PeakMemory,
    Result,
    arguments,
    environment,
    in_child,
    median,
    report,
    seconds,
)
from hqgnet.compression_config import CompressionConfig
from hqgnet.exchange.arrays import Array, Arrays, ArraySpec, distance, norm
from hqgnet.exchange.compression.choice import downward
from hqgnet.exchange.compression.codec import Floats
from hqgnet.exchange.compression.feedback import CompressedUpdate, compress_update
from hqgnet.exchange.compression.message import compress, decompress
from hqgnet.exchange.packing import pack, unpack
from hqgnet.presets import PRESETS, PresetName

_GROUPS = ("cue_extractor", "generator", "task")
_ROUNDS = 4
_UP = ("float32", "float16", "bfloat16", "int8", "topk")
_DOWN = ("float32", "float16", "bfloat16")
Shapes = list[tuple[str, tuple[int, ...], str]]


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and report."""
    parser = arguments("Bytes, time and error of what travels.")
    parser.add_argument(
        "--params", type=int, default=66_400_000, help="numbers in the model; 0: the preset's"
    )
    parser.add_argument("--preset", default="paper", choices=get_args(PresetName), help="whose shapes")
    parser.add_argument("--topk-share", type=float, default=0.01, help="share that topk sends")
    options = parser.parse_args(given)
    report(measure(options), as_json=options.json)


def measure(options: argparse.Namespace) -> Result:
    """Return all figures."""
    shapes = shapes_of(options.preset, options.params)
    up = {
        _name(form, zstd): in_child(measure_up, shapes, form, zstd, options.topk_share, options.repeats)
        for form in _UP
        for zstd in (False, True)
    }
    down = {
        _name(form, zstd): in_child(measure_down, shapes, form, zstd, options.repeats)
        for form in _DOWN
        for zstd in (False, True)
    }
    return {
        "benchmark": "wire",
        "preset": options.preset,
        "params": sum(math.prod(shape) for _, shape, _ in shapes),
        "tensors": len(shapes),
        "topk_share": options.topk_share,
        "up": up,
        "down": down,
        **environment(options.threads),
    }


def shapes_of(preset: PresetName, params: int) -> Shapes:
    """Return names, shapes and types of a preset's tensors.

    Args:
        preset: Its name.
        params: Numbers in all of them: the last one is cut to fit. 0 takes the preset as it is.
    """
    import torch

    from hqgnet.networks import build_networks

    with torch.device("meta"):
        state = build_networks(PRESETS[preset], 3, seed=0).state_dict()
    travelling = [(name, value) for name, value in state.items() if name.startswith(_GROUPS)]
    params = params or sum(value.numel() for _, value in travelling)
    shapes: Shapes = []
    for number, (name, value) in enumerate(cycle(travelling)):
        size = math.prod(value.shape)
        name = f"{name}.{number // len(travelling)}" if number >= len(travelling) else name
        dtype = str(value.dtype).removeprefix("torch.")
        if size >= params:
            return [*shapes, (name, (1, params) if size > params else tuple(value.shape), dtype)]
        shapes.append((name, tuple(value.shape), dtype))
        params -= size
    raise AssertionError("a cycle does not end")


def make_arrays(shapes: Shapes) -> tuple[Arrays, Arrays]:
    """Return a model, and the same after a round."""
    generator = np.random.default_rng(0)
    base: Arrays = {}
    after: Arrays = {}
    for name, shape, dtype in shapes:
        if dtype == "int64":
            base[name], after[name] = np.array(100), np.array(110)
            continue
        width = math.sqrt(2 / max(1, math.prod(shape[1:])))
        step = 10 ** generator.uniform(-4.5, -3.5)
        weights = generator.standard_normal(shape, np.float32)
        weights *= np.float32(width)
        moved = generator.standard_normal(shape, np.float32)
        moved *= np.float32(step)
        moved += weights
        base[name], after[name] = weights, moved
    return base, after


def measure_up(shapes: Shapes, form: str, zstd: bool, topk_share: float, repeats: int) -> Result:
    """Return the figures of updates in one form."""
    base, after = make_arrays(shapes)
    settings = CompressionConfig.model_validate({"up": form, "zstd": zstd, "topk_share": topk_share})
    if not settings.is_up:
        return _measure_plain(after, repeats)
    peak = PeakMemory()
    update = compress_update(after, base, {}, settings)
    copies = peak.bytes() / _bytes(after)
    forms = {name: ArraySpec(array.shape, str(array.dtype)) for name, array in base.items()}
    packed = update.packed
    result = {
        **_times(
            lambda: compress_update(after, base, update.left_out, settings),
            lambda: decompress(packed, forms, base),
            repeats,
        ),
        "bytes_over_float32": packed.nbytes / _bytes(after),
        "relative_error": distance(update.decoded, after) / distance(after, base),
        "max_abs_error": _worst(update.decoded, after, base),
        "peak_model_copies": copies,
    }
    if settings.has_feedback:
        result["relative_error_of_rounds"] = _error_of_rounds(base, after, update, settings)
    return result


def measure_down(shapes: Shapes, form: str, zstd: bool, repeats: int) -> Result:
    """Return the figures of models in one form."""
    arrays, _ = make_arrays(shapes)
    settings = CompressionConfig.model_validate({"down": form, "zstd": zstd})
    if not settings.is_down:
        return _measure_plain(arrays, repeats)
    peak = PeakMemory()
    packed, decoded = compress(arrays, downward(settings))
    copies = peak.bytes() / _bytes(arrays)
    return {
        **_times(
            lambda: compress(arrays, downward(settings)),
            lambda: decompress(packed, None, None, 2 * _bytes(arrays)),
            repeats,
        ),
        "bytes_over_float32": packed.nbytes / _bytes(arrays),
        "relative_error": distance(decoded, arrays) / norm(arrays),
        "max_abs_error": _worst(decoded, arrays, None),
        "peak_model_copies": copies,
    }


def _measure_plain(arrays: Arrays, repeats: int) -> Result:
    peak = PeakMemory()
    packed = pack(arrays)
    copies = peak.bytes() / _bytes(arrays)
    return {
        **_times(lambda: pack(arrays), lambda: unpack(packed), repeats),
        "bytes_over_float32": packed.nbytes / _bytes(arrays),
        "relative_error": 0.0,
        "max_abs_error": 0.0,
        "peak_model_copies": copies,
    }


def _times(encode: Callable[[], object], decode: Callable[[], object], repeats: int) -> Result:
    return {
        "encode_seconds": median(seconds(encode, repeats)),
        "decode_seconds": median(seconds(decode, repeats)),
    }


def _error_of_rounds(
    base: Arrays, after: Arrays, update: CompressedUpdate, settings: CompressionConfig
) -> float:
    """Return the relative error of the sum of a few rounds' differences: what is still left out of it."""
    left_out: dict[str, Floats] = update.left_out
    for _ in range(_ROUNDS - 1):
        left_out = compress_update(after, base, left_out, settings).left_out
    remaining: dict[str, Array] = dict(left_out)
    return norm(remaining) / (_ROUNDS * distance(after, base))


def _worst(decoded: Arrays, exact: Arrays, base: Arrays | None) -> float:
    """Return the largest error of one number over the largest number, tensor by tensor."""
    return max(
        _largest(decoded[name] - exact[name])
        / max(_largest(exact[name] - base[name] if base else exact[name]), 1e-30)
        for name in exact
        if exact[name].dtype == np.float32
    )


def _largest(array: NDArray[np.generic]) -> float:
    return float(np.abs(array).max()) if array.size else 0.0


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def _name(form: str, zstd: bool) -> str:
    return f"{form}+zstd" if zstd else form


if __name__ == "__main__":
    main()
