"""A training step of HQG-Net beside one of StillGAN, with all networks and losses of phase ``enhance``.

``python -m benchmarks.step --json``

StillGAN trains two generators and two discriminators, as published, at any preset of ours. Steps are taken in
turns, and each ratio is the median of the ratios of single rounds. ``speedup_bfloat16`` is a step in float32
over one in bfloat16 of the same preset.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.experiments import experiment_of
from benchmarks.harness import Result, arguments, environment, median, report
from benchmarks.interleaved import Clock, clock_of, interleaved, ratio
from hqgnet.data.batches import Batch
from hqgnet.networks import networks_of
from hqgnet.presets import PRESETS
from hqgnet.training.enhance import Enhance
from hqgnet.training.enhancers import enhancer_of

_CPU = torch.device("cpu")


class RandomBatch:
    """Stands for a site's batches: the same random images at each step.

    Args:
        size: Side of the square images, in pixels.
        count: Images a batch.
    """

    def __init__(self, size: int, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        lq, hq = (torch.rand(count, 3, size, size, generator=generator) for _ in range(2))
        self._batch = Batch(lq, hq)

    def batch(self, phase: str, step: int) -> Batch:
        """Return the batch."""
        return self._batch

    def pretraining_batch(self, step: int) -> Tensor:
        """Return its images."""
        return self._batch.lq


def training_step(method: str, preset: str, precision: str, size: int, count: int) -> Callable[[], object]:
    """Return what takes one step of phase ``enhance`` with fresh networks."""
    training = {"batch_size": count, "precision": precision}
    experiment = experiment_of(preset, method=method, image_size=size, training=training)
    # As a site lays them out.
    networks = networks_of(experiment, seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    phase = Enhance(enhancer_of(networks, experiment, _CPU, "enhance"), _CPU)
    batches = RandomBatch(size, count)
    return lambda: phase.step(batches, 0)


def measure(
    presets: list[str], size: int, count: int, precision: str, repeats: int, threads: int, clock: Clock
) -> Result:
    """Return the ratios of the presets' steps to StillGAN's."""
    torch.set_num_threads(threads)
    peer = f"stillgan {precision}"
    steps = {peer: training_step("stillgan", "standard", precision, size, count)}
    for preset in presets:
        for kind in dict.fromkeys((precision, "bfloat16")):
            steps[f"{preset} {kind}"] = training_step("hqgnet", preset, kind, size, count)
    taken = interleaved(steps, repeats, clock)
    result: Result = {"size": size, "batch": count, "precision": precision}
    for preset in presets:
        result[f"ratio_{preset}_to_stillgan"] = ratio(taken, f"{preset} {precision}", peer)
        if precision != "bfloat16":
            result[f"speedup_bfloat16_{preset}"] = ratio(taken, f"{preset} {precision}", f"{preset} bfloat16")
    return {**result, "seconds": {name: median(values) for name, values in taken.items()}}


def main() -> None:
    """Measure and report."""
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.set_defaults(threads=2, repeats=3)
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), action="append", help="may be given often (paper, standard)"
    )
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default 256)")
    parser.add_argument("--batch", type=int, default=1, help="images a batch (default 1)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--busy", action="store_true", help="processor time of one thread, not the wall's")
    given = parser.parse_args()
    threads = 1 if given.busy else given.threads
    clock = clock_of(busy=given.busy)
    presets = given.preset or ["paper", "standard"]
    result = measure(presets, given.size, given.batch, given.precision, given.repeats, threads, clock)
    measured_by = {"clock": "processor" if given.busy else "wall", "environment": environment(threads)}
    report({**result, **measured_by}, as_json=given.json)


if __name__ == "__main__":
    main()
