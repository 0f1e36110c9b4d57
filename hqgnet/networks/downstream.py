"""The downstream network that an experiment names: one of ours, or a user's own by its dotted path."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import nn

from hqgnet.downstream_config import DownstreamConfig
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
    """Return why the downstream network cannot be built, and nothing if it can.

    Args:
        experiment: Names it.
        where: Said in the problems: the experiment's file.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            build_downstream(
                experiment.downstream, experiment.preset, experiment.numbers, experiment.channels
            )
    except ConfigurationError as error:
        return [Problem(f"{where}: {p.where}", p.what, p.remedy) for p in error.problems]
    return []


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
