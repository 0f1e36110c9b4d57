"""The downstream network that an experiment names: one of ours, or a user's own by its dotted path."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import nn

from hqgnet.data.grades import LEVELS
from hqgnet.downstream_config import NETWORK_TASKS, DownstreamConfig
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.networks.csnet import SegmentationNetwork
from hqgnet.presets import NetworkNumbers, PresetName

if TYPE_CHECKING:
    from hqgnet.config import Experiment

_WHERE = "downstream"


def build_downstream(
    downstream: DownstreamConfig, preset: PresetName, numbers: NetworkNumbers, channels: int
) -> nn.Module:
    """Build a downstream network with fresh weights.

    A dotted path is imported: it runs code that is installed here. What it names must be a subclass of
    ``torch.nn.Module``; nothing else is called.

    Args:
        downstream: Names it, and its arguments.
        preset: Size of the networks.
        numbers: Of the preset.
        channels: Image channels C.

    Raises:
        ConfigurationError: If it cannot be imported, is no network, or takes other arguments.
    """
    make = _maker(downstream, preset, numbers, channels)
    try:
        return make(**downstream.arguments)
    except ConfigurationError:
        raise
    except Exception as error:  # a user's class may raise anything
        what = f"{downstream.network} cannot be built with {downstream.arguments} ({error})"
        remedy = "Give the arguments that its class takes"
        raise ConfigurationError(Problem(f"{_WHERE}.arguments", what, remedy)) from error


def check_downstream(experiment: Experiment, where: str) -> list[Problem]:
    """Return why the downstream network cannot be built or used, and nothing if it can.

    A user's own is tried on images of zeros: it is first used in the last phase, after hours of training.

    Args:
        experiment: Names it.
        where: Said in the problems: the experiment's file.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            with torch.device("meta"):
                network = _build(experiment)
            if experiment.downstream.network not in NETWORK_TASKS:
                _check_logits(experiment, network)
    except ConfigurationError as error:
        return [Problem(f"{where}: {p.where}", p.what, p.remedy) for p in error.problems]
    return []


def _build(experiment: Experiment) -> nn.Module:
    return build_downstream(experiment.downstream, experiment.preset, experiment.numbers, experiment.channels)


def _check_logits(experiment: Experiment, network: nn.Module) -> None:
    """Refuse a network that does not take images, or gives something else than the task's logits."""
    name, side = experiment.downstream.network, experiment.image_size
    given = (2, experiment.channels, side, side)
    wanted = (2, 1, side, side) if experiment.downstream.task == "segmentation" else (2, LEVELS)
    try:
        logits = _logits(network, given, "meta")
    except Exception:  # not everything that can be computed can be computed without numbers
        try:
            logits = _logits(_build(experiment), given, "cpu")
        except Exception as error:  # a user's class may raise anything
            what = f"{name} does not run on images {given} ({type(error).__name__}: {error})"
            remedy = "Give arguments that fit channels and image_size, or correct the class"
            raise ConfigurationError(Problem(f"{_WHERE}.network", what, remedy)) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != wanted:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        what = f"{name} gives {shape} for images {given}, and {experiment.downstream.task} needs {wanted}"
        raise ConfigurationError(Problem(f"{_WHERE}.network", what, "Give logits of that shape"))


@torch.no_grad()
def _logits(network: nn.Module, shape: tuple[int, ...], device: str) -> object:
    return network.eval()(torch.zeros(shape, device=device))


def _maker(
    downstream: DownstreamConfig, preset: PresetName, numbers: NetworkNumbers, channels: int
) -> Callable[..., nn.Module]:
    # Each is imported where it is wanted: most runs need one of them.
    if downstream.network == "csnet":
        return lambda **arguments: SegmentationNetwork(numbers, channels, **arguments)
    if downstream.network == "pnsnet":
        from hqgnet.networks.pnsnet import PNSNET, PnsNet

        return lambda **arguments: PnsNet(channels, PNSNET[preset], **arguments)
    if downstream.network == "deepgrading":
        from hqgnet.networks.deepgrading import DEEPGRADING, DeepGrading

        return lambda **arguments: DeepGrading(channels, DEEPGRADING[preset], **arguments)
    return _imported(downstream.network)


def _imported(path: str) -> type[nn.Module]:
    module, _, name = path.partition(":")
    remedy = "Install its package here, and at every site; write package.module:Class"
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        what = f"{path} cannot be imported ({type(error).__name__}: {error})"
        raise ConfigurationError(Problem(f"{_WHERE}.network", what, remedy)) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        what = f"{path} is no subclass of torch.nn.Module"
        raise ConfigurationError(Problem(f"{_WHERE}.network", what, "Name the class of a network"))
    return found
