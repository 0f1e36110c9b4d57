"""``hqgnet-server stop``: end a run before its time."""

from __future__ import annotations

import argparse
from pathlib import Path

from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("stop", help="stop the run that is going on")
    parser.add_argument("federation", type=Path, metavar="FEDERATION.yaml")
    parser.add_argument("name", nargs="?", metavar="RUN", help="(default: whatever is going on)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Stop it and say how to go on with it."""
    from server.federation import load_federation
    from server.launch.stopping import stop

    stopped = stop(load_federation(arguments.federation), arguments.name)
    if not stopped:
        print("no run is going on")
    for name in stopped:
        print(
            f"{name} is stopped; to go on with it: "
            f"hqgnet-server run --federation {arguments.federation} --resume {name}"
        )
