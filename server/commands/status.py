"""``hqgnet-server status``: server, hospitals and runs on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="server, hospitals and runs on one page")
    parser.add_argument("federation", type=Path, metavar="FEDERATION.yaml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it; the exit code tells whether the server is up."""
    from hqgnet.errors import ExitCode
    from server.federation import load_federation
    from server.launch.status import page, status_of

    status = status_of(load_federation(arguments.federation))
    print(status.to_json() if arguments.json else page(status))
    return int(ExitCode.OK if status.is_up else ExitCode.SERVER_DOWN)
