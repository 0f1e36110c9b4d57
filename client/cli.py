"""``hqgnet-client``: what a hospital does at its own site.

Only the standard library is imported here; a command loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hqgnet import __version__
from hqgnet.commands import run_guarded


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``hqgnet-client``."""
    parser = argparse.ArgumentParser(prog="hqgnet-client", description="A hospital's end of a federation.")
    parser.add_argument("--version", action="version", version=f"hqgnet-client {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check", help="open the site's images and show what the server would learn of them"
    )
    check.add_argument("site", type=Path, metavar="SITE.yaml")
    check.add_argument("--json", action="store_true", help="print the data card as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_guarded(lambda: _dispatch(build_parser().parse_args(argv)))


def _dispatch(arguments: argparse.Namespace) -> None:
    from client.check import check_site

    check_site(arguments.site, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
