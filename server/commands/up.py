"""``hqgnet-server up``: the server of a federation, in the foreground."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("up", help="serve a federation until SIGTERM or Ctrl-C")
    parser.add_argument("federation", type=Path, metavar="FEDERATION.yaml")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serve."""
    from server.launch.service import Service

    Service(arguments.federation, _say).run()


def _say(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)
