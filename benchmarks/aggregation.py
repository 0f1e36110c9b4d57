"""Averaging many sites' updates: peak memory, speed, and error, beside the installed Flower's FedAvg.

``python -m benchmarks.aggregation --sites 64 --params 66400000 --json``

What is compared:

- ``fraction_of_add_bandwidth``: in-place float32 additions of arrays of a model's size (numpy's or torch's,
  whichever is faster with these threads) take so much of the time that folding in one update takes.
- ``speedup_vs_flower``: Flower's time an update (the faster of its two functions that average) over ours.
  Flower holds all updates in memory; it is measured with as many as fit, and its time an update is taken
  as it is.
- ``peak_model_copies``: the most memory of a process that receives, checks, stores and averages all updates,
  whole ones, one at a time, beyond what it held before; over the size of one.
- ``max_abs_error``: from Flower's mean of the same updates, over a part of the parameters.

Our updates lie on disk. Speed is that of files in the system's cache: where all of them do not fit into it,
the model is averaged in slices, as many parameters at a time as do. ``whole_mean_seconds`` is the time for
all of them as the disk gives them.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import (
    PeakMemory,
    Result,
    arguments,
    available_bytes,
    environment,
    in_child,
    median,
    report,
    seconds,
)
from hqgnet.exchange.arrays import Arrays, ArraySpec, check_arrays, digest_arrays, distance
from server.aggregation import weighted_mean
from server.spool import Spool

_LARGEST_TENSOR = 2_359_296
_STRIDE = 997
_CHECKED = 1_000_000
_MOST_FLOWER_SITES = 16
# Flower holds what it received and, as it multiplies, as much again.
_FLOWER_COPIES = 2.5


class Updates:
    """Made-up updates of a model whose largest tensor is 512 x 512 x 3 x 3, drawn from one array of noise.

    Args:
        sites: How many.
        params: Numbers in each.
    """

    def __init__(self, sites: int, params: int) -> None:
        self.sites, self.params = sites, params
        generator = np.random.default_rng(0)
        self._noise = generator.standard_normal(params + sites * _STRIDE, dtype=np.float32)
        self.weights = {_site(index): int(generator.integers(10, 1000)) for index in range(sites)}
        self.spans = [
            (f"generator.{start // _LARGEST_TENSOR:05d}", start, min(start + _LARGEST_TENSOR, params))
            for start in range(0, params, _LARGEST_TENSOR)
        ]

    def view(self, site: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return numbers ``start`` to ``stop`` of a site's update, without a copy."""
        return self._noise[site * _STRIDE + start : site * _STRIDE + stop]

    def spool(self, folder: Path) -> Spool:
        """Return where the updates are put."""
        return Spool(folder / "spool", self.weights, self.params * 4)

    def arrive(self, site: int, spans: Sequence[tuple[str, int, int]]) -> Arrays:
        """Return tensors of a site's update, one after the other in memory of their own, as in a message."""
        first = spans[0][1]
        message = self.view(site, first, spans[-1][2]).copy()
        return {name: message[start - first : stop - first] for name, start, stop in spans}


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and report."""
    parser = arguments("Averaging updates, beside Flower's FedAvg.")
    parser.add_argument("--sites", type=int, default=64)
    parser.add_argument("--params", type=int, default=66_400_000)
    parser.add_argument(
        "--flower-sites",
        type=int,
        help="sites to measure Flower with; as many as fit, up to 16, if not given",
    )
    parser.add_argument("--folder", type=Path, help="where updates are stored; the system's if not given")
    options = parser.parse_args(given)
    report(measure(options), as_json=options.json)


def measure(options: argparse.Namespace) -> Result:
    """Return all figures."""
    sites, params, threads = options.sites, options.params, options.threads
    model = params * 4
    fitting = int(0.6 * available_bytes() / (model * _FLOWER_COPIES))
    flower_sites = min(sites, options.flower_sites or max(1, min(fitting, _MOST_FLOWER_SITES)))
    with _folder(options.folder) as folder:
        flower = {
            name: in_child(measure_flower, name, flower_sites, params, options.repeats)
            for name in ("aggregate", "aggregate_arrayrecords")
        }
        ours = in_child(measure_speed, folder, sites, params, threads, options.repeats)
        whole = in_child(measure_peak, folder, sites, params, threads)
    per_update = ours["mean_seconds"] / sites
    fastest = min(found["seconds"] for found in flower.values()) / flower_sites
    growth = max(found["peak_bytes"] for found in flower.values()) / model / flower_sites
    return {
        "benchmark": "aggregation",
        "sites": sites,
        "params": params,
        "model_bytes": model,
        "peak_model_copies": whole["peak_bytes"] / model,
        "speedup_vs_flower": fastest / per_update,
        "fraction_of_add_bandwidth": ours["add_seconds"] / per_update,
        "max_abs_error": ours["max_abs_error"],
        "max_abs_error_to_float64": ours["max_abs_error_to_float64"],
        "max_abs_difference_in_reverse_order": ours["max_abs_difference_in_reverse_order"],
        "mean_seconds_per_update": per_update,
        "add_seconds": ours["add_seconds"],
        "add_gigabytes_per_second": 3 * model / ours["add_seconds"] / 1e9,
        "slices": ours["slices"],
        "whole_mean_seconds": whole["mean_seconds"],
        "whole_receive_seconds": whole["receive_seconds"],
        "receive_seconds_per_update": whole["receive_parts"],
        "spool_bytes": sites * model,
        "flower_sites_measured": flower_sites,
        "flower_seconds_per_update": {
            name: found["seconds"] / flower_sites for name, found in flower.items()
        },
        "flower_peak_model_copies_measured": {
            name: found["peak_bytes"] / model for name, found in flower.items()
        },
        "flower_peak_model_copies_scaled": growth * sites,
        **environment(threads),
    }


def measure_flower(function: str, sites: int, params: int, repeats: int) -> Result:
    """Return time and peak memory of Flower's averaging, with the updates that it holds."""
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
    from flwr.server.strategy.aggregate import aggregate
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

    updates = Updates(sites, params)
    peak = PeakMemory()
    weights = list(updates.weights.values())
    action: Callable[[], object]
    if function == "aggregate":
        lists = [
            (list(updates.arrive(site, updates.spans).values()), weight)
            for site, weight in enumerate(weights)
        ]
        action = lambda: aggregate(lists)  # noqa: E731
    else:
        records = [
            RecordDict(
                {
                    "arrays": ArrayRecord(
                        {name: Array(array) for name, array in updates.arrive(site, updates.spans).items()}
                    ),
                    "metrics": MetricRecord({"num-examples": weight}),
                }
            )
            for site, weight in enumerate(weights)
        ]
        action = lambda: aggregate_arrayrecords(records, "num-examples")  # noqa: E731
    return {"seconds": median(seconds(action, min(repeats, 3))), "peak_bytes": peak.bytes()}


def measure_speed(folder: Path, sites: int, params: int, threads: int, repeats: int) -> Result:
    """Return the time for the mean of all updates, slice by slice, beside additions in the same minutes."""
    import torch

    torch.set_num_threads(threads)
    updates = Updates(sites, params)
    room = 0.4 * available_bytes() / (sites * 4)
    slices = max(1, math.ceil(params / room))
    length = math.ceil(len(updates.spans) / slices)
    total, additions = 0.0, []
    for first in range(0, len(updates.spans), length):
        spans = updates.spans[first : first + length]
        with updates.spool(folder) as spool:
            for site in range(sites):
                spool.put(_site(site), updates.arrive(site, spans))
            # As much is written back to the disk while a server waits for answers; here it would go on below.
            os.sync()
            stored = spool.updates(updates.weights)
            additions += _addition_seconds(params, repeats)
            total += median(seconds(lambda given=stored: weighted_mean(given, threads), repeats))  # type: ignore[misc]
    return {
        "mean_seconds": total,
        "slices": math.ceil(len(updates.spans) / length),
        "add_seconds": median(additions),
        **_errors(folder, updates, threads),
    }


def measure_peak(folder: Path, sites: int, params: int, threads: int) -> Result:
    """Return the peak memory of receiving and averaging whole updates, and how long each part took."""
    updates = Updates(sites, params)
    sent: Arrays = {name: updates.view(0, start, stop) for name, start, stop in updates.spans}
    parts: dict[str, list[float]] = {"check": [], "distance": [], "digest": [], "store": []}
    peak, begun = PeakMemory(), time.perf_counter()
    with updates.spool(folder) as spool:
        for site in range(sites):
            _receive(spool, _site(site), updates.arrive(site, updates.spans), sent, parts)
        received = time.perf_counter()
        weighted_mean(spool.updates(updates.weights), threads)
        ended = time.perf_counter()
    return {
        "peak_bytes": peak.bytes(),
        "receive_seconds": received - begun,
        "receive_parts": {name: round(median(taken), 4) for name, taken in parts.items()},
        "mean_seconds": ended - received,
    }


def _receive(spool: Spool, site: str, arrays: Arrays, sent: Arrays, parts: dict[str, list[float]]) -> None:
    """Do what the round loop does with an update."""
    forms = {name: ArraySpec(array.shape, "float32") for name, array in sent.items()}
    actions: dict[str, Callable[[], object]] = {
        "check": lambda: check_arrays(arrays, forms),
        "distance": lambda: distance(arrays, sent),
        "digest": lambda: digest_arrays(arrays),
        "store": lambda: spool.put(site, arrays),
    }
    for name, action in actions.items():
        begun = time.perf_counter()
        action()
        parts[name].append(time.perf_counter() - begun)


def _errors(folder: Path, updates: Updates, threads: int) -> Result:
    """Compare our mean of some parameters with Flower's, with float64's, and with that in reverse order."""
    from flwr.server.strategy.aggregate import aggregate

    stop = min(_CHECKED, updates.spans[0][2])
    name, weights = updates.spans[0][0], list(updates.weights.values())
    rows = [updates.view(site, 0, stop) for site in range(updates.sites)]
    means = []
    for order in (range(updates.sites), reversed(range(updates.sites))):
        with updates.spool(folder) as spool:
            for site in order:
                spool.put(_site(site), {name: rows[site]})
            means.append(weighted_mean(spool.updates(updates.weights), threads)[name])
    theirs = aggregate([([row], weight) for row, weight in zip(rows, weights, strict=True)])[0]
    exact = sum(np.asarray(row, np.float64) * weight for row, weight in zip(rows, weights, strict=True))
    return {
        "max_abs_error": float(np.abs(means[0] - theirs).max()),
        "max_abs_error_to_float64": float(np.abs(means[0] - exact / sum(weights)).max()),
        "max_abs_difference_in_reverse_order": float(np.abs(means[0] - means[1]).max()),
    }


def _addition_seconds(params: int, repeats: int) -> list[float]:
    """Return how long in-place additions took, with numpy or with torch: those of the faster of the two."""
    import torch

    total, summand = np.zeros(params, np.float32), np.ones(params, np.float32)
    torch_total, torch_summand = torch.from_numpy(total), torch.from_numpy(summand)
    return min(
        seconds(lambda: np.add(total, summand, out=total), repeats),
        seconds(lambda: torch_total.add_(torch_summand), repeats),
        key=median,
    )


def _site(index: int) -> str:
    return f"site-{index:04d}"


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aggregation-", dir=given) as name:
        yield Path(name)


if __name__ == "__main__":
    main()
