"""Run one of Flower's programs so that it ends when it fails: ``python -m client.daemon.flower NAME ...``.

A SuperNode by itself outlives its own failures. An answer such as ``500`` from the server (its database was
locked for a moment) ends the loop that asks for messages, or the thread that tells the server that the node
is there; the process stays, held by the thread of its HTTP interface, and does nothing for ever. Here it
ends, and whoever has started it can start it again.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str]) -> NoReturn:
    """Run the program; return to nobody."""
    name = argv[0]
    scripts = importlib.metadata.distribution("flwr").entry_points.select(group="console_scripts", name=name)
    sys.argv = [name, *argv[1:]]
    threading.excepthook = _thread_failed
    try:
        next(iter(scripts)).load()()
    except SystemExit:
        raise  # an end in order, or with an exit code that has been told
    except BaseException:
        traceback.print_exc()
    _end(f"{name}: its work has ended")


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    traceback.print_exception(failure.exc_value)
    _end(f"{failure.thread.name if failure.thread else 'a thread'} has ended")


def _end(told: str) -> NoReturn:
    sys.stderr.write(f"{told}\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
