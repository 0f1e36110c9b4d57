"""Table IV: what every enhancer that is built here weighs and costs, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypedDict

import torch
from torch import Tensor, nn

from hqgnet.downstream_config import NETWORK_TASKS, DownstreamConfig
from hqgnet.inspection import (
    COUNTED,
    TABLE_IV_GMACS,
    TABLE_IV_PARAMS_M,
    TABLE_IV_SIZE,
    Cost,
    cost_of,
    inspect,
)
from hqgnet.method_config import CLASSICAL_METHODS
from hqgnet.networks.downstream import build_downstream
from hqgnet.networks.enlightengan import ATTENTION_UNET_WIDTHS, AttentionUNet
from hqgnet.networks.stillgan import RES_UNET_WIDTHS, ResUNet
from hqgnet.presets import PRESETS, PresetName

TABLE_IV: dict[str, Cost] = {
    "StarGAN V2": Cost(params_m=78.95, gmacs=259.32),
    "SSEN": Cost(params_m=6.52, gmacs=285.34),
    "TTSR": Cost(params_m=7.04, gmacs=556.41),
    "C2-Matching": Cost(params_m=9.68, gmacs=300.25),
    "MASA-SR": Cost(params_m=4.38, gmacs=258.04),
    "StillGAN": Cost(params_m=58.38, gmacs=94.73),
    "EnlightenGAN": Cost(params_m=56.37, gmacs=98.67),
    "HQG-Net": Cost(params_m=TABLE_IV_PARAMS_M, gmacs=TABLE_IV_GMACS),
}
"""As printed. The paper says FLOPs; see :func:`hqgnet.inspection.inspect` for how they are read."""

_TITLES = {"hqgnet": "HQG-Net", "stillgan": "StillGAN", "enlightengan": "EnlightenGAN"}
_NETWORK_TITLES = {"csnet": "CS-Net", "pnsnet": "PNS-Net", "deepgrading": "DeepGrading"}
_LIKE_THE_PAPER: PresetName = "paper"

_LOOKS = "deepgrading"
"""It looks for the densest regions of an image, so it is counted on one."""


class Entry(TypedDict):
    """One network.

    Attributes:
        name: Of the method, or of the downstream network.
        preset: Of its size; empty where it has none.
        params_m: Parameters in millions of what runs on an image.
        gmacs: Multiply-accumulates in billions; None for a method without a network.
        paper: Table IV's figures, where it has the method, at the preset that stands beside them.
    """

    name: str
    preset: str
    params_m: float
    gmacs: float | None
    paper: Cost | None


class Catalogue(TypedDict):
    """Result of :func:`count_all`.

    Attributes:
        size: Side in pixels of the square images.
        channels: Image channels.
        enhancers: Those that are built here.
        downstream: Segmentors and the grader, on one still image.
        not_built: Table IV's other rows.
    """

    size: int
    channels: int
    enhancers: list[Entry]
    downstream: list[Entry]
    not_built: dict[str, Cost]


def count_all(channels: int, size: int) -> Catalogue:
    """Count every enhancer and downstream network at every preset; but for the grader nothing is computed.

    Of a method that trains with more networks, such as StillGAN's way back, those count that enhance.

    Args:
        channels: Image channels.
        size: Side in pixels of the square images.

    Raises:
        ConfigurationError: If ``size`` is too small for a network.
    """
    with torch.device("meta"):
        enhancers, downstream = list(_enhancers(channels, size)), list(_downstream(channels, size))
    return Catalogue(
        size=size,
        channels=channels,
        enhancers=enhancers,
        downstream=downstream,
        not_built={name: cost for name, cost in TABLE_IV.items() if name not in _TITLES.values()},
    )


def format_all(counted: Catalogue) -> str:
    """Lay out :func:`count_all`'s result for a terminal."""
    width = 24
    size = f"GMACs at {counted['size']}"
    header = f"{'enhancer':<{width}}{'params (M)':>12}{size:>16}{'paper (M)':>12}{'paper (G)':>12}"
    lines = [f"channels {counted['channels']}; the paper's Table IV is at {TABLE_IV_SIZE}", "", header]
    for entry in counted["enhancers"]:
        lines.append(_line(entry, width))
    lines += ["", f"{'downstream network':<{width}}{'params (M)':>12}{size:>16}"]
    lines += [_line(entry, width) for entry in counted["downstream"]]
    lines += ["", f"{'Table IV, not built here':<{width}}{'':>28}{'paper (M)':>12}{'paper (G)':>12}"]
    for name, cost in counted["not_built"].items():
        lines.append(f"{name:<{width}}{'':>28}{cost['params_m']:>12.2f}{cost['gmacs']:>12.2f}")
    return "\n".join(lines)


def _enhancers(channels: int, size: int) -> Iterator[Entry]:
    for preset, numbers in PRESETS.items():
        components = inspect(numbers, channels, size)["components"]
        whole = Cost(
            params_m=sum(components[name]["params_m"] for name in COUNTED),
            gmacs=sum(components[name]["gmacs"] for name in COUNTED),
        )
        yield _entry("hqgnet", preset, whole)
    makers: dict[str, Callable[[PresetName], nn.Module]] = {
        "stillgan": lambda preset: ResUNet(RES_UNET_WIDTHS[preset], channels),
        "enlightengan": lambda preset: AttentionUNet(ATTENTION_UNET_WIDTHS[preset], channels, momentum=0.1),
    }
    for method, make in makers.items():
        for preset in PRESETS:
            yield _entry(method, preset, _counted(make(preset), channels, size))
    for method in CLASSICAL_METHODS:
        yield Entry(name=method.upper(), preset="", params_m=0.0, gmacs=None, paper=None)


def _downstream(channels: int, size: int) -> Iterator[Entry]:
    for name, task in NETWORK_TASKS.items():
        for preset, numbers in PRESETS.items():
            config = DownstreamConfig(network=name, task=task)
            with torch.device("cpu" if name == _LOOKS else "meta"):
                cost = _counted(build_downstream(config, preset, numbers, channels), channels, size)
            yield Entry(name=_NETWORK_TITLES[name], preset=preset, paper=None, **cost)


def _entry(method: str, preset: PresetName, cost: Cost) -> Entry:
    name = _TITLES[method]
    paper = TABLE_IV[name] if preset == _LIKE_THE_PAPER else None
    return Entry(name=name, preset=preset, paper=paper, params_m=cost["params_m"], gmacs=cost["gmacs"])


def _counted(network: nn.Module, channels: int, size: int) -> Cost:
    images = torch.zeros(1, channels, size, size)

    def run() -> Tensor:
        result: Tensor = network(images)
        return result

    network.eval()
    return cost_of(network, run)


def _line(entry: Entry, width: int) -> str:
    name = f"{entry['name']} {entry['preset']}".rstrip()
    if entry["gmacs"] is None:
        return f"{name:<{width}}{'no parameters':>28}"
    line = f"{name:<{width}}{entry['params_m']:>12.2f}{entry['gmacs']:>16.2f}"
    paper = entry["paper"]
    return line if paper is None else f"{line}{paper['params_m']:>12.2f}{paper['gmacs']:>12.2f}"
