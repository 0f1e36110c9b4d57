"""How a change that is too small to matter grows in a training, and how much of one compression makes.

``python -m benchmarks.sensitivity EXPERIMENT.yaml --sites 'sites/*/site.yaml' --json``

Each phase of the experiment is begun anew with two rounds at all sites, in this process. After the first the
sites' updates are averaged as they are, and once more for each of these changes:

- ``rounding``: each number of an update is the next float32 up or down, by chance;
- ``float16``, ``int8``: it is what the server makes of it after compression.

From each of these means the sites then train the second round, with equal batches, moments and
discriminators.

- ``at_once``: how far a changed mean lies from the exact one, over the way that the exact one has moved.
- ``a_round_later``: the same after the second round. Where it no longer depends on the size of the change,
  two trainings differ by chance, whatever has parted them.

Lengths are L2 norms over the parameters that the phase shares, without statistics of normalisation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Result, environment, processors, report
from hqgnet.compression_config import CompressionConfig
from hqgnet.config import PHASES, Experiment, PhaseName, load_experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.exchange.arrays import Array, Arrays, to_arrays, to_tensors
from hqgnet.exchange.compression.feedback import compress_update
from hqgnet.exchange.groups import shared_keys
from hqgnet.training.local import LocalTrainer
from server.simulation import find_sites

Change = Callable[[Arrays, Arrays], Arrays]
"""Takes what came and a site's update, and returns what the server has of it."""


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="How small changes grow in an experiment's training.")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    parser.add_argument("--threads", type=int, default=processors(), help="for torch")
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    parser.add_argument("--sites", required=True, metavar="GLOB")
    chosen = parser.parse_args(given)
    torch.set_num_threads(chosen.threads)
    experiment = load_experiment(chosen.experiment)
    sites = [SiteData.open(load_site_config(file)) for file in find_sites(chosen.sites)]
    report(measure(experiment, sites) | {"environment": environment(chosen.threads)}, as_json=chosen.json)


def measure(experiment: Experiment, sites: Sequence[SiteData]) -> Result:
    """Return both distances by phase and change; see the module.

    Args:
        experiment: All its phases with rounds are looked at, each from the end of the one before.
        sites: At least one; each is to have all that the experiment asks for, or trains in part.
    """
    trainers = [LocalTrainer(experiment, [site], torch.device("cpu")) for site in sites]
    held: Mapping[str, Tensor] = trainers[0].state()
    found: Result = {}
    for phase in (phase for phase in PHASES if experiment.phase(phase).rounds):
        found[phase], held = _of_phase(experiment, trainers, phase, held)
    return found


@dataclass(frozen=True)
class _Site:
    """A site after the first round of a phase."""

    trainer: LocalTrainer
    private: Mapping[str, Tensor]
    update: Arrays


def _of_phase(
    experiment: Experiment, trainers: Sequence[LocalTrainer], phase: PhaseName, held: Mapping[str, Tensor]
) -> tuple[Result, Mapping[str, Tensor]]:
    """Return the figures of one phase, and what the exact second round ends with."""
    steps = experiment.phase(phase).steps
    begun: Arrays = {}
    sites = []
    for trainer in trainers:
        names = shared_keys(trainer.networks, phase, experiment, trainer.has_labels, trainer.has_hq)
        trainer.load(held)
        begun |= _copied(to_arrays(held, names))
        trainer.train(phase, 0, steps)
        update = _copied(to_arrays(trainer.state(), names))
        private = {name: value.clone() for name, value in trainer.private_state(phase).items()}
        sites.append(_Site(trainer, private, update))
    parameters = {name for name, _ in trainers[0].networks.named_parameters()} & begun.keys()
    exact = _mean([site.update for site in sites])
    settled = _second_round(sites, phase, steps, held, exact)
    rows: Result = {}
    for name, change in _changes(experiment.seed).items():
        changed = _mean([change(begun, site.update) for site in sites])
        later = _second_round(sites, phase, steps, held, changed)
        rows[name] = {
            "at_once": _apart(changed, exact, begun, parameters),
            "a_round_later": _apart(later, settled, begun, parameters),
        }
    return rows, {**held, **to_tensors(settled)}


def _second_round(
    sites: Sequence[_Site], phase: PhaseName, steps: int, held: Mapping[str, Tensor], mean: Arrays
) -> Arrays:
    """Return the mean of what the sites make of ``mean`` in a second round."""
    updates = []
    for site in sites:
        site.trainer.load(held)
        site.trainer.load_private_state(phase, site.private)
        site.trainer.load(to_tensors(mean))
        site.trainer.train(phase, steps, steps)
        updates.append(_copied(to_arrays(site.trainer.state(), tuple(site.update))))
    return _mean(updates)


def _changes(seed: int) -> dict[str, Change]:
    generator = np.random.default_rng(seed)

    def rounding(came: Arrays, update: Arrays) -> Arrays:
        del came
        return {name: _last_digit(array, generator) for name, array in update.items()}

    def through(codec: str) -> Change:
        settings = CompressionConfig.model_validate({"up": codec})

        def changed(came: Arrays, update: Arrays) -> Arrays:
            return compress_update(update, {name: came[name] for name in update}, {}, settings).decoded

        return changed

    return {"rounding": rounding, "float16": through("float16"), "int8": through("int8")}


def _last_digit(array: Array, generator: np.random.Generator) -> Array:
    if array.dtype != np.float32:
        return array
    towards = np.where(generator.random(array.shape) < 0.5, np.float32("-inf"), np.float32("inf"))
    return np.nextafter(array, towards, dtype=np.float32)


def _mean(updates: Sequence[Arrays]) -> Arrays:
    """Return the plain mean over those that hold an array; a counter is the first site's."""
    sums: dict[str, list[Array]] = {}
    for update in updates:
        for name, array in update.items():
            sums.setdefault(name, []).append(array)
    return {name: _mean_of(arrays) for name, arrays in sums.items()}


def _mean_of(arrays: Sequence[Array]) -> Array:
    if arrays[0].dtype != np.float32:
        return arrays[0]
    mean: Array = np.asarray(np.mean(arrays, axis=0, dtype=np.float64), dtype=np.float32)
    return mean


def _apart(one: Arrays, other: Arrays, begun: Arrays, names: set[str]) -> float:
    return _length([one[n] - other[n] for n in names]) / _length([other[n] - begun[n] for n in names])


def _length(arrays: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays)))


def _copied(arrays: Mapping[str, Array]) -> Arrays:
    return {name: array.copy() for name, array in arrays.items()}


if __name__ == "__main__":
    main()
