"""``hqgnet-server track``: a run's curves for TensorBoard or MLflow; and the option ``--track`` of others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from server.commands import Commands

_METAVAR = "tensorboard[:DIR]|mlflow:URI"


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("track", help="write the curves of a run for TensorBoard or MLflow")
    parser.add_argument("directory", type=Path, metavar="RUN", help="the run's folder, such as runs/demo")
    help_ = "where to; may be given several times. DIR is tensorboard in the run's folder if left out"
    parser.add_argument("--to", action="append", required=True, metavar=_METAVAR, help=help_)
    parser.set_defaults(run=run)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--track`` to a command that starts runs."""
    help_ = "also write curves there while it goes on; may be given several times"
    parser.add_argument("--track", action="append", default=[], metavar=_METAVAR, help=help_)


def run(arguments: argparse.Namespace) -> None:
    """Write them, and say how many rounds they hold."""
    from server.tracking.choice import choose
    from server.tracking.replay import replay

    choices = choose(arguments.to)
    rounds = replay(arguments.directory, choices)
    for choice in choices:
        sys.stdout.write(f"{choice}: {rounds} rounds\n")
