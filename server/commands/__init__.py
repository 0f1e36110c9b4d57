"""What the commands of ``hqgnet-server`` do, a file each: ``add_parser`` and ``run``.

Only the standard library is imported at the top; a command loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
