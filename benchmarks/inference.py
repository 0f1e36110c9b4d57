"""Inference of HQG-Net beside EnlightenGAN's network, and exported beside the processor's peak.

``python -m benchmarks.inference --json``

What is compared, one image at a time, interleaved, so that what else the machine does meets all alike; each
ratio is the median of the ratios of single rounds:

- ``ratio_to_enlightengan``: eager torch in float32, both networks as they are; v_z is cached.
  ``prepared_ratio_to_enlightengan``: both with batch normalisation folded and channels last.
- ``speedup_folded``, ``speedup_bfloat16``: ours prepared, over as it is.
- ``speedup_guidance_cached``: ours with the cue extractor run each time, over v_z cached.
- ``speedup_onnxruntime``: eager torch in float32 as it is, both images in as Table IV counts it, over ONNX
  Runtime in float32 with v_z baked in. ``speedup_onnxruntime_guidance_cached``: v_z cached in both.
- ``fraction_of_peak``: operations a second of the network on OpenVINO in bfloat16, over those that the
  fastest of some bfloat16 convolutions of common shapes reached in the same round. Medians tell which is the
  fastest: the best of each round would be the one that the machine's other work happened to spare.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.experiments import experiment_of
from benchmarks.harness import Result, arguments, environment, median, report
from benchmarks.interleaved import Clock, clock_of, interleaved, ratio
from hqgnet.export.description import IMAGES, ExportFormat
from hqgnet.export.formats import FILE_NAMES, write_network
from hqgnet.export.network import ExportedNetwork, size_rule
from hqgnet.export.sessions import require
from hqgnet.inference.network import EnhancementNetwork
from hqgnet.networks import Networks, networks_of
from hqgnet.presets import PRESETS

_PEAK_SHAPES = ((256, 64, 3), (512, 32, 3), (1024, 32, 1))
"""Channels in and out, side of the features, side of the kernel."""


def measure(preset: str, size: int, repeats: int, threads: int, clock: Clock) -> Result:
    """Return the figures of one preset on square images of ``size`` pixels."""
    torch.set_num_threads(threads)
    ours, peer = (
        networks_of(experiment_of(preset, method=method), seed=0).eval().requires_grad_(False)
        for method in ("hqgnet", "enlightengan")
    )
    images, guidance = torch.rand(1, 3, size, size), torch.randn(1, ours.guidance_size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        ours.enhance(images, guidance)
    operations = counter.get_total_flops()
    peaks = {f"peak {shape}": _convolution(*shape) for shape in _PEAK_SHAPES}
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], object]] = {
            "plain": lambda: ours.enhance(images, guidance),
            "plain with guide": lambda: ours.enhance(images, ours.describe(images)),
            "peer": lambda: peer.enhance(images, None),
            "prepared": _prepared(ours, images, guidance, bfloat16=False),
            "bfloat16": _prepared(ours, images, guidance, bfloat16=True),
            "prepared peer": _prepared(peer, images, None, bfloat16=False),
            "onnxruntime": _exported(ours, images, guidance, Path(folder), bfloat16=False),
            "openvino": _exported(ours, images, guidance, Path(folder), bfloat16=True),
            **{name: run for name, (run, _) in peaks.items()},
        }
        with torch.inference_mode():
            # As over a folder of images: one after the other.
            taken = interleaved(runs, repeats, clock, settle=True)
        shares = _time_shares(Path(folder), images)
    # Rounds differ by what else the machine does: peak and network are compared within each.
    rates = {name: [work / seconds for seconds in taken[name]] for name, (_, work) in peaks.items()}
    best = max(rates.values(), key=median)
    fractions = [operations / seconds / peak for seconds, peak in zip(taken["openvino"], best, strict=True)]
    return {
        "preset": preset,
        "size": size,
        "gmacs": operations / 2e9,
        "ratio_to_enlightengan": ratio(taken, "plain", "peer"),
        "prepared_ratio_to_enlightengan": ratio(taken, "prepared", "prepared peer"),
        "speedup_folded": ratio(taken, "plain", "prepared"),
        "speedup_bfloat16": ratio(taken, "plain", "bfloat16"),
        "speedup_guidance_cached": ratio(taken, "plain with guide", "plain"),
        "speedup_onnxruntime": ratio(taken, "plain with guide", "onnxruntime"),
        "speedup_onnxruntime_guidance_cached": ratio(taken, "plain", "onnxruntime"),
        "speedup_openvino_bfloat16": ratio(taken, "plain", "openvino"),
        "fraction_of_peak": median(fractions),
        "gflops_openvino_bfloat16": operations / median(taken["openvino"]) / 1e9,
        "gflops_peak_bfloat16": median(best) / 1e9,
        "openvino_time_shares": shares,
        "seconds": {name: median(values) for name, values in taken.items()},
    }


def _prepared(
    networks: Networks, images: Tensor, guidance: Tensor | None, *, bfloat16: bool
) -> Callable[[], object]:
    network = EnhancementNetwork(networks, bfloat16=bfloat16)
    given = images.contiguous(memory_format=torch.channels_last)
    return lambda: network(given, guidance)


def _exported(
    networks: Networks, images: Tensor, guidance: Tensor, folder: Path, *, bfloat16: bool
) -> Callable[[], object]:
    kind: ExportFormat = "openvino" if bfloat16 else "onnx"
    rule = size_rule(networks, (images.shape[-2], images.shape[-1]), kind)
    network = ExportedNetwork(networks, guidance)
    session = write_network(kind, network, None, rule, images.shape[1], folder, bfloat16=bfloat16)
    given: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = images.numpy()
    return lambda: session(given, None)


def _time_shares(folder: Path, images: Tensor) -> dict[str, float]:
    """Return the share of OpenVINO's time in bfloat16 that each kind of layer takes, largest first."""
    openvino = require("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERF_COUNT": True,
    }
    path = folder / FILE_NAMES["openvino"]
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    spent: Counter[str] = Counter()
    for index in range(4):
        request.infer({IMAGES: images.numpy()})
        for node in request.profiling_info if index else []:
            spent[node.node_type] += node.real_time.total_seconds()
    total = sum(spent.values())
    return {name: round(seconds / total, 3) for name, seconds in spent.most_common(6)}


def _convolution(width: int, side: int, kernel: int) -> tuple[Callable[[], object], float]:
    """Return a convolution in bfloat16, a few times over, and its operations."""
    layer = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False).requires_grad_(False)
    layer = layer.to(torch.bfloat16)
    layer.weight.data = layer.weight.contiguous(memory_format=torch.channels_last)
    features = torch.randn(1, width, side, side, dtype=torch.bfloat16)
    features = features.contiguous(memory_format=torch.channels_last)
    work = 2.0 * (width * kernel * side) ** 2
    times = max(1, round(4e10 / work))

    def run() -> None:
        for _ in range(times):
            layer(features)

    return run, times * work


def main() -> None:
    """Measure and report."""
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.set_defaults(threads=2)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="standard")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default 256)")
    parser.add_argument("--busy", action="store_true", help="processor time of one thread, not the wall's")
    given = parser.parse_args()
    threads = 1 if given.busy else given.threads
    clock = clock_of(busy=given.busy)
    result = measure(given.preset, given.size, given.repeats, threads, clock)
    measured_by = {"clock": "processor" if given.busy else "wall", "environment": environment(threads)}
    report({**result, **measured_by}, as_json=given.json)


if __name__ == "__main__":
    main()
