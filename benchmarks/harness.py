"""What benchmarks have in common: arguments, medians, fresh processes, peaks of memory, the report."""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Result = dict[str, Any]
_STATUS = Path("/proc/self/status")
_PACKAGES = ("numpy", "torch", "flwr")


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    parser.add_argument("--threads", type=int, default=processors(), help="threads for all that is measured")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of which the median is told")
    return parser


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def seconds(action: Callable[[], object], repeats: int) -> list[float]:
    """Return how long each of ``repeats`` calls took, after one that does not count."""
    action()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return taken


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def in_child(function: Callable[..., Result], *given: object) -> Result:
    """Call a function in a fresh process of this interpreter, and return its result.

    Args:
        function: Of a module's top level.
        given: Its arguments.

    Raises:
        RuntimeError: If the process ends without a result, for want of memory perhaps.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, given))
    process.start()
    theirs.close()
    try:
        result: Result = ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} ended without a result") from None
    finally:
        process.join()
        ours.close()
    return result


class PeakMemory:
    """The most memory that this process has held since this object was made, above what it held then."""

    def __init__(self) -> None:
        gc.collect()
        # Forgets the peak until now (proc_pid_clear_refs(5)).
        Path("/proc/self/clear_refs").write_text("5")
        self._begun = _status("VmRSS")

    def bytes(self) -> int:
        """Return the peak so far."""
        return max(0, _status("VmHWM") - self._begun)


def available_bytes() -> int:
    """Return how much memory can be taken without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell its free memory")


def environment(threads: int) -> Result:
    """Return what figures depend on."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "threads": threads,
        "processors": processors(),
        "processor": processor,
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def report(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Write a result to the terminal."""
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    width = max(len(name) for name in result)
    for name, value in result.items():
        shown = f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
        sys.stdout.write(f"{name:<{width}}  {shown}\n")


def _answer(pipe: Connection, function: Callable[..., Result], given: tuple[object, ...]) -> None:
    pipe.send(function(*given))
    pipe.close()


def _status(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {key}")
