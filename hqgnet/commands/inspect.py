"""``hqgnet inspect``."""

from __future__ import annotations

import argparse
import json

from hqgnet.inspection import format_table
from hqgnet.inspection import inspect as count
from hqgnet.presets import PRESETS


def inspect(arguments: argparse.Namespace) -> None:
    """Print parameters and GMACs of a preset, as a table or as JSON."""
    counted = count(PRESETS[arguments.preset], arguments.channels, arguments.size)
    if arguments.json:
        print(json.dumps({"preset": arguments.preset, **counted}, indent=2))
    else:
        print(f"preset {arguments.preset}")
        print(format_table(counted))
