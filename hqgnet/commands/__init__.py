"""What the commands of ``hqgnet`` do, a file each; and how every program of ours ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from hqgnet.errors import ExitCode, HqgnetError


def run_guarded(command: Callable[[], int | None]) -> int:
    """Run a command; turn our errors into messages on stderr and numbered exit codes.

    Args:
        command: May return an exit code; None means success.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A file's name, or a sign in a table, that stdout has no letters for must not cost the result.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = int(command() or ExitCode.OK)
        sys.stdout.flush()
        return code
    except HqgnetError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        print(f"(exit code {int(error.exit_code)}: {error.exit_code.name.lower()})", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # What is still to be written at the very end would fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.PIPE_CLOSED)
