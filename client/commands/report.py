"""``hqgnet-client report``: the hospital's own page on a model, with pictures; it stays at the site."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the sub-command's parser."""
    parser = commands.add_parser(
        "report", help="write this hospital's own page on a model, worst cases first"
    )
    parser.add_argument("site", type=Path, metavar="SITE.yaml")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="such as best.safetensors")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="(report.html in the site's work folder)"
    )
    parser.add_argument(
        "--split", choices=("test", "validation"), default="test", help="which images to judge (test)"
    )
    parser.add_argument(
        "--images", type=_whole, default=24, metavar="N", help="cases to show with pictures (24)"
    )
    parser.add_argument("--names", action="store_true", help="show the images' file names")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write it, and say where it lies."""
    from client.report.page import Request, write_report

    request = Request(
        arguments.site,
        arguments.model,
        arguments.out,
        arguments.split,
        arguments.images,
        arguments.names,
    )
    sys.stdout.write(f"{write_report(request)}\n")


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return value
