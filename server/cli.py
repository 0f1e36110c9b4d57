"""``hqgnet-server``: run a federation.

Only the standard library is imported here; a command loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hqgnet import __version__
from hqgnet.commands import run_guarded
from server.commands import (
    Commands,
    audit,
    bundle,
    compare,
    provision,
    report,
    run,
    seed,
    status,
    stop,
    track,
    up,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``hqgnet-server``."""
    parser = argparse.ArgumentParser(prog="hqgnet-server", description="Run a federation of hospitals.")
    parser.add_argument("--version", action="version", version=f"hqgnet-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_simulate(commands)
    provision.add_parser(commands)
    for command in (up, run, status, stop, bundle, audit, compare, report, track):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_guarded(lambda: _dispatch(build_parser().parse_args(argv)))


def _dispatch(arguments: argparse.Namespace) -> int | None:
    code: int | None = arguments.run(arguments)
    return code


def _add_simulate(commands: Commands) -> None:
    simulate = commands.add_parser("simulate", help="all sites on this machine")
    simulate.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    simulate.add_argument("--sites", required=True, metavar="GLOB", help="site YAML files, in quotes")
    simulate.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where the run's folder is made (runs)"
    )
    simulate.add_argument("--name", help="of the run's folder (default: the experiment's name)")
    simulate.add_argument("--seed", type=seed, help="instead of the experiment's")
    simulate.add_argument("--overwrite", action="store_true", help="replace a run of that name")
    simulate.add_argument(
        "--cpus-per-site",
        type=_at_least(1, int),
        default=1,
        metavar="N",
        help="processors, and threads, a site works with (1)",
    )
    simulate.add_argument(
        "--gpus-per-site",
        type=_at_least(0, float),
        default=0.0,
        metavar="X",
        help="share of a GPU, such as 0.5 (0)",
    )
    simulate.add_argument("--cpus", type=_at_least(1, int), metavar="N", help="processors to use (all)")
    simulate.add_argument("--gpus", type=_at_least(0, int), metavar="N", help="GPUs to use (all)")
    track.add_option(simulate)
    simulate.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> None:
    from hqgnet.config import load_experiment
    from server.run_directory import RunDirectory
    from server.simulation import Simulation, simulate

    name = arguments.name or load_experiment(arguments.experiment).name
    simulate(
        Simulation(
            experiment=arguments.experiment,
            sites=arguments.sites,
            directory=RunDirectory((arguments.runs / name).absolute()),
            seed=arguments.seed,
            overwrite=arguments.overwrite,
            cpus_per_site=arguments.cpus_per_site,
            gpus_per_site=arguments.gpus_per_site,
            cpus=arguments.cpus,
            gpus=arguments.gpus,
            track=tuple(arguments.track),
        )
    )


def _at_least(minimum: int, kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def convert(text: str) -> int | float:
        value = kind(text)
        if not minimum <= value < math.inf:  # nan is in no order
            raise argparse.ArgumentTypeError(f"must be at least {minimum}")
        return value

    return convert


if __name__ == "__main__":
    sys.exit(main())
