"""What a daemon tells of itself on the site's disk, and how ``hqgnet-client status`` reads it."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from client.daemon.lock import is_held
from hqgnet.errors import OutputError
from hqgnet.files import write_atomically

LOGGER = logging.getLogger("hqgnet.daemon")

STATUS = "status.json"


class StatusFile:
    """The daemon's state as a mapping, on disk after each change; a full disk stops nothing.

    Keys: ``pid``, ``site``, ``server``, ``started``; ``connection`` (``connecting``, ``connected``,
    ``unreachable``, ``pausing``) with ``reason`` and ``node``; ``doing`` (``idle`` or what is done) since
    ``since``; ``code``; ``last_message``, ``last_answer``, ``epsilon``. Times are seconds since 1970.

    Args:
        work: The site's work folder.
        facts: What holds from the start.
    """

    def __init__(self, work: Path, **facts: Any) -> None:
        self._path = work / STATUS
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {"pid": os.getpid(), "started": time.time(), **facts}

    def update(self, **facts: Any) -> None:
        """Change some facts."""
        with self._lock:
            self._facts.update(facts)
            try:
                write_atomically(self._path, f"{json.dumps(self._facts, indent=1)}\n".encode())
            except OutputError as error:
                LOGGER.error("%s", error)

    def get(self, name: str) -> Any:
        """Return one fact; None if it is not known."""
        with self._lock:
            return self._facts.get(name)


def read_status(work: Path) -> dict[str, Any]:
    """Return what the daemon of this work folder told last, and under ``running`` whether it lives.

    Its own word does not count for that: a daemon that was killed could not take it back.
    """
    try:
        facts = json.loads((work / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = {}
    return {**(facts if isinstance(facts, dict) else {}), "running": is_held(work)}
