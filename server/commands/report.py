"""``hqgnet-server report``: one page on a run, to be sent to the consortium."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report", help="write one HTML page on a run: results, curves, who took part"
    )
    parser.add_argument("directory", type=Path, metavar="RUN", help="the run's folder, such as runs/demo")
    parser.add_argument(
        "--comparison", type=Path, metavar="DIR", help="also show what hqgnet-server compare wrote there"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="(report.html in the run's folder)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write it, and say where it lies."""
    from server.report.page import write_report

    path = write_report(arguments.directory, arguments.comparison, arguments.out)
    sys.stdout.write(f"{path}\n")
