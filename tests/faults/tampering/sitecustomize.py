"""Faults at exact instants, for tests: Python imports this module at the start of every process.

``faults.json`` beside it holds a list of faults, each ``{"fault": NAME, ...}``. A fault that happens once
leaves a file named by ``once``, so that the process started in place of the killed one lives.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _once(fault: dict[str, Any]) -> bool:
    marker = Path(fault["once"])
    if marker.exists():
        return False
    marker.touch()
    return True


def _die(fault: dict[str, Any]) -> None:
    if _once(fault):
        os.kill(os.getpid(), signal.SIGKILL)


def _kill_in_write(fault: dict[str, Any]) -> None:
    """SIGKILL when a whole temporary file waits to take the name of one that matches ``name``."""
    replace = os.replace

    def killing(source: Any, target: Any, **options: Any) -> None:
        matches = fault["name"] in str(target)
        if matches and fault.get("nth", 1) <= 1:
            _die(fault)
        elif matches:
            fault["nth"] -= 1
        replace(source, target, **options)

    os.replace = killing


def _after_import(module: str, patch: Callable[[Any], None]) -> None:
    """Patch a module as soon as it has been imported."""

    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            if name != module:
                return None
            sys.meta_path.remove(self)
            import importlib.util

            spec = importlib.util.find_spec(name)
            if spec is None or spec.loader is None:
                return spec
            execute = spec.loader.exec_module

            def executing(loaded: Any) -> None:
                execute(loaded)
                patch(loaded)

            spec.loader.exec_module = executing
            return spec

    sys.meta_path.insert(0, Finder())


def _kill_in_aggregation(fault: dict[str, Any]) -> None:
    """SIGKILL of the ServerApp while it combines the updates of its round number ``nth``."""

    def patch(module: Any) -> None:
        combine, count = module.weighted_mean, [0]

        def killing(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == fault.get("nth", 1):
                _die(fault)
            return combine(*arguments, **options)

        module.weighted_mean = killing

    _after_import("server.aggregation", patch)


def _kill_in_training(fault: dict[str, Any]) -> None:
    """SIGKILL of the process that trains, after its first step."""

    def patch(module: Any) -> None:
        train = module.LocalTrainer.train

        def killing(*arguments: Any, **options: Any) -> Any:
            result = train(*arguments, **options)
            _die(fault)
            return result

        module.LocalTrainer.train = killing

    _after_import("hqgnet.training.local", patch)


def _send_rubbish(fault: dict[str, Any]) -> None:
    """A hospital whose machine is in other hands: updates altered after the governor, a way a round.

    ``rounds`` names for each round (``phase-number``): nan, schema, hundredfold, or slow.
    """

    def patch(module: Any) -> None:
        import time
        from dataclasses import replace

        import numpy as np

        answer = module.Governor.answer

        def altered(self: Any, asked: Any, act: Any) -> Any:
            answered = answer(self, asked, act)
            header = json.loads(answered.header or "{}")
            way = fault["rounds"].get(f"{header.get('phase')}-{header.get('round')}")
            if answered.arrays is None or way is None:
                return answered
            if way == "slow":
                time.sleep(fault["seconds"])
                return answered
            arrays = {name: np.array(array) for name, array in answered.arrays.items()}
            first = next(name for name, array in arrays.items() if array.dtype == np.float32 and array.ndim)
            if way == "nan":
                arrays[first].flat[0] = np.nan
            elif way == "schema":
                arrays[first] = arrays[first][:1]
            elif way == "hundredfold":
                arrays = {n: a * 100 if a.dtype == np.float32 else a for n, a in arrays.items()}
            return replace(answered, arrays=arrays)

        module.Governor.answer = altered

    _after_import("client.governor", patch)


_FAULTS = {
    "kill-in-write": _kill_in_write,
    "kill-in-aggregation": _kill_in_aggregation,
    "kill-in-training": _kill_in_training,
    "send-rubbish": _send_rubbish,
}

for _fault in json.loads(Path(__file__).with_name("faults.json").read_text()):
    _FAULTS[_fault["fault"]](_fault)
