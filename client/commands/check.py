"""``hqgnet-client check``: look at a site as a run would, and say what must be mended."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the sub-command's parser."""
    parser = commands.add_parser("check", help="look at images, machine and server: ready, or what to mend")
    parser.add_argument("site", type=Path, metavar="SITE.yaml")
    parser.add_argument("--json", action="store_true", help="print all findings and the data card as JSON")
    parser.add_argument("--offline", action="store_true", help="leave out what needs the network")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the page; return the exit code: 0 without problems, 10 or 11 with."""
    from client.checks.examination import examine
    from client.checks.page import as_json, as_text

    examination = examine(arguments.site, offline=arguments.offline)
    if arguments.json:
        sys.stdout.write(as_json(examination))
    else:
        sys.stdout.write(as_text(examination, colour=sys.stdout.isatty()))
    return int(examination.exit_code)
