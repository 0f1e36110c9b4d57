"""What the commands of ``hqgnet`` do, a file each; and how every program of ours ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from hqgnet.errors import ExitCode, HqgnetError


def run_guarded(command: Callable[[], int | None]) -> int:
    """Run a command; turn our errors into messages on stderr and numbered exit codes.

    Args:
        command: May return an exit code; None means success.
    """
    try:
        return int(command() or ExitCode.OK)
    except HqgnetError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        print(f"(exit code {int(error.exit_code)}: {error.exit_code.name.lower()})", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
