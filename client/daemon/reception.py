"""Where couriers come in: a socket that only the daemon's own user can reach."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from client.frames import (
    DisconnectedError,
    FrameError,
    answered_frame,
    read_asked_frame,
    receive_frame,
    send_frame,
)
from client.message import Answered, Asked

LOGGER = logging.getLogger("hqgnet.daemon")

_CREDENTIALS = struct.Struct("3i")
_WAITING = 8

AnswerCourier = Callable[[Asked, bytes, Callable[[], bool]], Answered]
"""Answers a message, given with its bundle and a function that tells whether its courier is gone."""


class Reception(threading.Thread):
    """Listens on a unix socket; each courier has a thread, and its answer when its turn has come.

    Args:
        path: Of the socket; its folder is private.
        answer: Gives the answer.
        undelivered: Told of an answer whose courier was gone.
    """

    def __init__(self, path: Path, answer: AnswerCourier, undelivered: Callable[[Asked], None]) -> None:
        super().__init__(name="reception", daemon=True)
        self._answer, self._undelivered = answer, undelivered
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(_WAITING)

    def run(self) -> None:
        """Let couriers in until closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="courier", daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            if _user_of(connection) != os.getuid():
                LOGGER.error("another user's process came to the daemon's socket; it is turned away")
                return
            try:
                asked, bundle = read_asked_frame(receive_frame(connection))
            except FrameError as error:
                LOGGER.warning("a courier brought no message: %s", error)
                return
            answered = self._answer(asked, bundle, lambda: _is_gone(connection))
            try:
                send_frame(connection, answered_frame(answered))
            except DisconnectedError:
                LOGGER.warning("the answer to a %s message is dropped: its courier is gone", asked.kind)
                self._undelivered(asked)
            except FrameError:
                LOGGER.exception("an answer does not fit into a frame")


def _user_of(connection: socket.socket) -> int:
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(peer)[1])


def _is_gone(connection: socket.socket) -> bool:
    connection.settimeout(None)
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
