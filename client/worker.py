"""The process that trains: ``python -m client.worker SITE.yaml DESCRIPTOR``, started by a hospital's daemon.

It runs the code that the hospital approved, does what its daemon hands on, and ends when the daemon does. It
needs no network, no key and no Flower. Its output is a log; messages go through the socket alone.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import client
from client.frames import (
    DisconnectedError,
    Frame,
    answered_frame,
    read_asked_frame,
    receive_frame,
    send_frame,
)


def main(argv: Sequence[str]) -> int:
    """Say whose code this is, then answer until the daemon hangs up."""
    os.umask(0o077)  # its daemon, of the hospital's own installation, may be an older one that does not
    file, channel = Path(argv[0]), socket.socket(fileno=int(argv[1]))
    send_frame(channel, Frame({"what": "hello", "client": str(client.__file__)}))
    # Loads torch and monai, while the daemon is still sending.
    from client.actions import act

    try:
        while True:
            asked, _ = read_asked_frame(receive_frame(channel))
            send_frame(channel, answered_frame(act(asked, file)))
    except DisconnectedError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
