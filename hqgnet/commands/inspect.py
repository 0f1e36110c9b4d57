"""``hqgnet inspect``."""

from __future__ import annotations

import argparse
import json

from hqgnet.inspection import format_table, inspect as inspect_networks
from hqgnet.presets import PRESETS


def inspect(arguments: argparse.Namespace) -> None:
    """Print parameters and GMACs of a preset, as a table or as JSON."""
    result = inspect_networks(PRESETS[arguments.preset], arguments.channels, arguments.size)
    result = {"preset": arguments.preset, "size": arguments.size, "channels": arguments.channels, **result}
    print(json.dumps(result, indent=2) if arguments.json else format_table(result))
