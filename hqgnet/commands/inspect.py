"""``hqgnet inspect``."""

from __future__ import annotations

import argparse
import json

from hqgnet.inspection import format_table
from hqgnet.inspection import inspect as count
from hqgnet.presets import PRESETS


def inspect(arguments: argparse.Namespace) -> None:
    """Print parameters and GMACs of a preset, or with ``--all`` of every network, as a table or as JSON."""
    if arguments.all:
        from hqgnet.table_iv import count_all, format_all  # all networks: a preset has no use for them

        catalogue = count_all(arguments.channels, arguments.size)
        print(json.dumps(catalogue, indent=2) if arguments.json else format_all(catalogue))
        return
    counted = count(PRESETS[arguments.preset], arguments.channels, arguments.size)
    if arguments.json:
        print(json.dumps({"preset": arguments.preset, **counted}, indent=2))
    else:
        print(f"preset {arguments.preset}")
        print(format_table(counted))
