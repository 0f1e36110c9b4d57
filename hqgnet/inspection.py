"""What the networks weigh and cost, counted beside Table IV of the paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hqgnet.networks import HqgNetworks, build_networks
from hqgnet.presets import NetworkNumbers

TABLE_IV_SIZE = 384
TABLE_IV_PARAMS_M = 66.42
TABLE_IV_GMACS = 87.33
COUNTED = ("cue_extractor", "generator")


class Cost(TypedDict):
    """Parameters in millions, and multiply-accumulates in billions for one image."""

    params_m: float
    gmacs: float


class Deviation(TypedDict):
    """How far a total lies from Table IV, in per cent; ``None`` for work at another size than the table's."""

    params_m: float
    gmacs: float | None


class Inspection(TypedDict):
    """Result of :func:`inspect`.

    Attributes:
        size: Side in pixels of the square images.
        channels: Image channels.
        components: Cost of each network on its own.
        total: ``cue_extractor`` + ``generator``: what an enhancement with a guidance image runs.
        paper: Table IV's figures.
        deviation_percent: Of the total from the paper's.
    """

    size: int
    channels: int
    components: dict[str, Cost]
    total: Cost
    paper: Cost
    deviation_percent: Deviation


def inspect(numbers: NetworkNumbers, channels: int, size: int) -> Inspection:
    """Count parameters and multiply-accumulates, without computing anything.

    Table IV's "FLOPs" are read as multiply-accumulates, which is likely but not said there, of one 384x384 LQ
    image and one guidance image; discriminator, autoencoder decoder and downstream network are left out.
    Counted are convolutions and matrix products as they run (``FlopCounterMode``), with conv1 of Eq. 3 before
    the up-sampling. Taken after it, as printed, the ``paper`` preset comes to 87.53 instead of 86.17 GMACs.

    Args:
        numbers: Widths and depths.
        channels: Image channels.
        size: Side in pixels of the square images.

    Raises:
        ConfigurationError: If ``size`` is below the discriminator's receptive field.
    """
    with torch.device("meta"):
        networks = build_networks(numbers, channels).eval()
        images = torch.empty(1, channels, size, size)
        guidance = torch.empty(1, numbers.guidance_dim)
        runs: dict[str, Callable[[], Tensor]] = {
            "cue_extractor": lambda: networks.cue_extractor(images),
            "generator": lambda: networks.generator(images, guidance),
            "discriminator": lambda: networks.discriminator(images),
            "task": lambda: networks.task(images),
            "autoencoder_decoder": _decoding(networks, images),
        }
        components = {name: cost_of(networks.get_submodule(name), run) for name, run in runs.items()}
    total = Cost(
        params_m=sum(components[name]["params_m"] for name in COUNTED),
        gmacs=sum(components[name]["gmacs"] for name in COUNTED),
    )
    return Inspection(
        size=size,
        channels=channels,
        components=components,
        total=total,
        paper=Cost(params_m=TABLE_IV_PARAMS_M, gmacs=TABLE_IV_GMACS),
        deviation_percent=Deviation(
            params_m=100.0 * (total["params_m"] / TABLE_IV_PARAMS_M - 1.0),
            gmacs=100.0 * (total["gmacs"] / TABLE_IV_GMACS - 1.0) if size == TABLE_IV_SIZE else None,
        ),
    )


def format_table(result: Inspection) -> str:
    """Lay out :func:`inspect`'s result for a terminal."""
    size = result["size"]
    lines = [f"{'component':<22}{'params (M)':>12}{f'GMACs at {size}':>16}"]
    for name, cost in result["components"].items():
        lines.append(_row(name, cost["params_m"], cost["gmacs"]))
    lines.append(_row("total (cue, generator)", **result["total"]))
    lines.append(_row(f"paper, Table IV at {TABLE_IV_SIZE}", **result["paper"]))
    deviation = result["deviation_percent"]
    gmacs = "-" if deviation["gmacs"] is None else f"{deviation['gmacs']:+.2f} %"
    lines.append(f"{'deviation':<22}{deviation['params_m']:>+10.2f} %{gmacs:>16}")
    return "\n".join(lines)


def _row(name: str, params_m: float, gmacs: float) -> str:
    return f"{name:<22}{params_m:>12.2f}{gmacs:>16.2f}"


def _decoding(networks: HqgNetworks, images: Tensor) -> Callable[[], Tensor]:
    features = networks.cue_extractor.trunk(images)
    return lambda: networks.autoencoder_decoder(features)


def cost_of(module: nn.Module, run: Callable[[], Tensor]) -> Cost:
    """Count a network's parameters, and the multiply-accumulates of one run of it."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return Cost(
        params_m=sum(parameter.numel() for parameter in module.parameters()) / 1e6,
        gmacs=counter.get_total_flops() / 2e9,
    )
