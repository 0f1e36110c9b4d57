"""Weights that were trained elsewhere, put into a network where a run starts. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, ModelFileError, Problem
from hqgnet.exchange.groups import inference_groups
from hqgnet.model_file import read_experiment
from hqgnet.networks.build import Networks
from hqgnet.tensor_file import why_closed


def load_pretrained(networks: Networks, experiment: Experiment) -> None:
    """Put the weights in place that the experiment names: of enhancer, downstream and feature network.

    Called where a run starts, at the server or in central training; never at a site, which receives them.

    Raises:
        ConfigurationError: With every file that is missing, damaged, or of another network.
    """
    problems: list[Problem] = []
    for key, file, path, prefixes in _wanted(experiment):
        try:
            load_weights(networks.get_submodule(path), Path(file), prefixes, key)
        except ConfigurationError as error:
            problems.extend(error.problems)
    if experiment.start_from is not None:
        problems.extend(_other_meanings(experiment, Path(experiment.start_from)))
    if problems:
        raise ConfigurationError(problems)


def _other_meanings(experiment: Experiment, file: Path) -> list[Problem]:
    """Return by which keys a file's weights, though of the same names and shapes, mean something else here.

    Args:
        experiment: What is to be trained.
        file: What it starts from; one that does not say what it was trained for is taken as it is.
    """
    try:
        earlier = read_experiment(file)
    except ModelFileError:
        return []
    pairs = {
        "output": (earlier.numbers.output, experiment.numbers.output),
        "ablation.normalization": (earlier.ablation.normalization, experiment.ablation.normalization),
    }
    return [
        Problem(
            "start_from",
            f"{file} was trained with {key} {then}, and here it is {now}",
            f"Set {key} to {then}, or start from another file",
        )
        for key, (then, now) in pairs.items()
        if experiment.method == "hqgnet" and then != now
    ]


def load_weights(network: nn.Module, file: Path, prefixes: Sequence[str], where: str) -> None:
    """Put a file's weights into a network.

    Args:
        network: Changed in place, once everything fits.
        file: In safetensors format.
        prefixes: What may stand before the network's names in the file; the first that occurs counts, and
            what does not begin with it belongs to other networks. Without any of them all of the file counts.
        where: Said in errors.

    Raises:
        ConfigurationError: If the file cannot be read, or does not hold exactly this network's parameters,
            all finite.
    """
    stored = _read(file, where)
    prefix = next((p for p in prefixes if any(name.startswith(p) for name in stored)), "")
    given = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    own = network.state_dict()
    # Counts of batches are kept by some programs and not by others; nothing depends on them.
    missing = [n for n in own if n not in given and not n.endswith("num_batches_tracked")]
    others = [n for n in given if n not in own or given[n].shape != own[n].shape or given[n].is_complex()]
    # As float32, since torch cannot say it of every type that a file may hold.
    infinite = [n for n in given if n not in others and not bool(torch.isfinite(given[n].float()).all())]
    misfits = sorted({*missing, *others, *infinite})
    if misfits:
        what = f"{file} does not fit the network: {len(misfits)} parameters differ, first {misfits[0]}"
        remedy = "Give the weights of this network, at the experiment's preset and channels"
        raise ConfigurationError(Problem(where, what, remedy))
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in given.items()}, strict=False)


def _wanted(experiment: Experiment) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return key, file, path of the network, and prefixes of its names in the file."""
    downstream = experiment.downstream
    wanted: list[tuple[str, str, str, tuple[str, ...]]] = []
    if experiment.start_from is not None:
        groups = inference_groups(experiment)
        wanted += [("start_from", experiment.start_from, group, (f"{group}.",)) for group in groups]
    if downstream.weights is not None:
        wanted.append(("downstream.weights", downstream.weights, "task", ("task.",)))
    if downstream.segmentor_weights is not None:
        key = "downstream.segmentor_weights"
        wanted.append((key, downstream.segmentor_weights, "task.segmentor", ("task.",)))
    features = experiment.enlightengan.feature_network
    if experiment.method == "enlightengan" and features is not None:
        prefixes = ("cue_extractor.trunk.", "trunk.")
        wanted.append(("enlightengan.feature_network", features, "cue_extractor.trunk", prefixes))
    return wanted


def _read(file: Path, where: str) -> dict[str, Tensor]:
    closed = why_closed(file)
    if closed is not None:
        raise ConfigurationError(
            Problem(where, f"{file} cannot be read ({closed})", "Give a file that this user may read")
        )
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        problem = Problem(where, f"{file} is missing", "Check the path; it is read where the run starts")
    except (OSError, SafetensorError):
        problem = Problem(where, f"{file} cannot be read as safetensors", "Give a safetensors file, whole")
    raise ConfigurationError(problem)
