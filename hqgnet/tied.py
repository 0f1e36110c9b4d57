"""Tie a program to the process that starts it: ``python tied.py SIGNAL PARENT PROGRAM [ARGUMENT ...]``.

When that process ends, by SIGKILL too, the kernel sends SIGNAL to the program (``prctl(2)``,
PR_SET_PDEATHSIG): nothing is left behind, and nothing has to watch. The setting survives the exec, so the
process identifier stays the one that the parent knows.

What counts as the parent is the *thread* that started the program: it has to live as long as the program.
On other systems than Linux the program runs untied. Only the standard library is imported here.

:func:`end_with` ties a process that somebody else has started.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str], number: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return the command that runs ``command`` tied to this process.

    Args:
        command: Program, by path, and arguments.
        number: What the kernel sends it when this process ends.
    """
    # Isolated (-I) and by path: the launcher is this very file, whatever the program's environment is.
    return [sys.executable, "-I", "-S", __file__, number.name, str(os.getpid()), *command]


def end_with(process: int) -> None:
    """End this process, without another word, when that one has ended; at once if it is there no more.

    A thread waits at a descriptor of that process (``pidfd_open(2)``), which stays its own when the kernel
    gives the number away again. On other systems than Linux nothing is tied.

    Args:
        process: Its identifier.
    """
    if sys.platform != "linux":
        return
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return

    def wait() -> None:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        ended.poll()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name=f"ends with {process}", daemon=True).start()


def main(argv: Sequence[str]) -> None:
    """Tie this process to its parent and become the program."""
    number, parent, program = signal.Signals[argv[0]], int(argv[1]), argv[2:]
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the tie held
        sys.exit(1)
    os.execv(program[0], list(program))  # noqa: S606 - the whole purpose


if __name__ == "__main__":
    main(sys.argv[1:])
