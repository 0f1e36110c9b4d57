"""``hqgnet-server audit verify``: whether a run's record of what was accepted is as it was written."""

from __future__ import annotations

import argparse
from pathlib import Path

from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    audit = commands.add_parser("audit", help="the record of what was asked, accepted and published")
    actions = audit.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="check that no line was changed, taken out or put in")
    verify.add_argument("path", type=Path, metavar="RUN|FILE", help="a run's folder, or an audit log")
    verify.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check the chain and print its length, head and time span."""
    from hqgnet.commands.audit import verify_audit

    verify_audit(arguments.path)
