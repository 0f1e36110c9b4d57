"""What the commands of ``hqgnet-server`` do, a file each: ``add_parser`` and ``run``.

Only the standard library is imported at the top; a command loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_SEEDS = 2**31


def seed(text: str) -> int:
    """Read ``--seed``: what an experiment's ``seed`` may be."""
    value = int(text)
    if not 0 <= value < _SEEDS:
        raise argparse.ArgumentTypeError(f"must be from 0 to {_SEEDS - 1}")
    return value
