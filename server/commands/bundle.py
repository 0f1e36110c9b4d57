"""``hqgnet-server bundle``: the code that hospitals approve, as one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("bundle", help="write the code that hospitals approve, as one file")
    parser.add_argument(
        "--out", type=Path, default=Path("hqgnet.fab"), metavar="FILE.fab", help="(hqgnet.fab)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the bundle and print what a hospital compares."""
    from server.launch.bundle import write_bundle

    bundle = write_bundle(arguments.out)
    print(f"{arguments.out}: {len(bundle.files)} files, {len(bundle.data) / 1024:.0f} KiB")
    print(f"SHA-256 {bundle.sha256}")
