"""``hqgnet-client up``: join the federation, and stay in it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_IDLE_S = 600.0


def add_parser(commands: Any) -> None:
    """Add the sub-command's parser."""
    parser = commands.add_parser("up", help="join the federation and stay in it, until SIGTERM or Ctrl-C")
    parser.add_argument("site", type=Path, metavar="SITE.yaml")
    help_ = f"end the training process after so long without work (default {_IDLE_S:g})"
    parser.add_argument("--idle", type=_seconds, default=_IDLE_S, metavar="SECONDS", help=help_)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the daemon."""
    from client.daemon.service import run_daemon

    run_daemon(arguments.site, arguments.idle)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{text} is no time")
    return seconds
