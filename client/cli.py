"""``hqgnet-client``: what a hospital does at its own site.

Only the standard library is imported here; a command loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from client.commands import approve, audit, check, report, status, up
from hqgnet import __version__
from hqgnet.commands import run_guarded


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``hqgnet-client``."""
    parser = argparse.ArgumentParser(prog="hqgnet-client", description="A hospital's end of a federation.")
    parser.add_argument("--version", action="version", version=f"hqgnet-client {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (check, approve, up, status, audit, report):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_guarded(lambda: _dispatch(build_parser().parse_args(argv)))


def _dispatch(arguments: argparse.Namespace) -> int | None:
    code: int | None = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
