"""``hqgnet-server run``: an experiment on a federation whose server is up on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from server.commands import Commands, seed, track


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="run an experiment across the federation, and follow it")
    parser.add_argument("experiment", type=Path, nargs="?", metavar="EXPERIMENT.yaml")
    parser.add_argument("--federation", type=Path, required=True, metavar="FEDERATION.yaml")
    parser.add_argument("--name", help="of the run's folder (default: the experiment's name)")
    parser.add_argument("--seed", type=seed, help="instead of the experiment's")
    parser.add_argument("--overwrite", action="store_true", help="replace a run of that name")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--resume", metavar="RUN", help="go on with a run that ended before its time")
    known.add_argument("--attach", metavar="RUN", help="follow a run that is going on")
    parser.add_argument(
        "--restarts", type=_whole, default=3, metavar="N", help="bring a run that died back so often (3)"
    )
    parser.add_argument(
        "--patience",
        type=_whole,
        default=600,
        metavar="S",
        help="wait so long for a server that does not answer (600)",
    )
    parser.add_argument("--detach", action="store_true", help="submit it and return")
    track.add_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from server.display import choose_display
    from server.federation import load_federation
    from server.launch.request import RunRequest
    from server.launch.runs import RunLauncher

    request = RunRequest(
        experiment=arguments.experiment,
        name=arguments.name,
        seed=arguments.seed,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        attach=arguments.attach,
        restarts=arguments.restarts,
        patience_s=arguments.patience,
        detach=arguments.detach,
        track=tuple(arguments.track),
        federation=arguments.federation,
    )
    RunLauncher(load_federation(arguments.federation), request, _say).run(choose_display)


def _say(line: str) -> None:
    print(line, flush=True, file=sys.stderr)


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return value
