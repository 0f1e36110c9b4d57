"""Flower's ClientApp process as a courier: it carries a message to the hospital's daemon and the answer back.

``python -m client.courier SOCKET ARGUMENT ...``, with the arguments of ``flwr-clientapp``, in whose place the
daemon lets it be found. It runs Flower's own program with its three steps that would run foreign code
replaced: the bundle that came with the message is not installed, nothing is fetched for it, and the app that
answers is the daemon. Nothing of the bundle is imported here, and no exception's text leaves: Flower would
send it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from client.daemon.environments import FLOWER
from client.frames import (
    DisconnectedError,
    FrameError,
    asked_frame,
    read_answered_frame,
    receive_frame,
    send_frame,
)
from client.message import Answered, Asked, Kind
from client.wire import read_asked, write_answered
from hqgnet.exchange.update import MalformedMessageError, SiteError

LOGGER = logging.getLogger("hqgnet.courier")

_PROGRAM = "flwr.supernode.runtime.run_clientapp"
_KINDS: dict[str, Kind] = {"train": "train", "evaluate": "evaluate", "query": "query"}


class Courier:
    """Takes the place of the bundle in Flower's ClientApp process.

    Args:
        address: The daemon's socket.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._bundle = b""

    def keep_bundle(self, fab_file: bytes, *_: object, **__: object) -> None:
        """Stand in for ``install_from_fab``: keep the bytes, install nothing."""
        self._bundle = fab_file

    def load(self, *_: object, **__: object) -> Callable[..., Any]:
        """Stand in for ``get_load_client_app_fn``: whatever is asked for, the daemon is the app."""
        return lambda *_, **__: self.app

    def app(self, message: Any, context: Any) -> Any:
        """Stand in for the ClientApp: carry the message to the daemon, and the answer back."""
        del context
        try:
            return write_answered(message, self._ask(message))
        except Exception:
            LOGGER.exception("the answer cannot be written")
            return write_answered(message, Answered(code=SiteError.INTERNAL))

    def _ask(self, message: Any) -> Answered:
        try:
            kind = _KINDS.get(str(message.metadata.message_type))
            if kind is None:
                return Answered(code=SiteError.REQUEST)
            asked = Asked(kind, *read_asked(message))
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self._address)
                send_frame(connection, asked_frame(asked, self._bundle))
                return read_answered_frame(receive_frame(connection))
        except (OSError, DisconnectedError):
            LOGGER.exception("the daemon cannot be reached")
            return Answered(code=SiteError.INTERNAL)
        except (MalformedMessageError, FrameError):
            LOGGER.exception("the message cannot be read")
            return Answered(code=SiteError.REQUEST)


def replace_steps(program: ModuleType, courier: Courier) -> None:
    """Let a courier stand in for the steps of Flower's program that would run the bundle.

    Raises:
        RuntimeError: If the program is not the one that has been read.
    """
    version = importlib.metadata.version("flwr")
    if version != FLOWER:
        raise RuntimeError(f"Flower is {version}: install flwr=={FLOWER}, whose program is known")
    steps = {
        "install_from_fab": courier.keep_bundle,
        "install_app_dependencies": _install_nothing,
        "get_load_client_app_fn": courier.load,
    }
    missing = sorted(name for name in steps if not callable(getattr(program, name, None)))
    if missing:
        raise RuntimeError(f"{program.__name__} has no {', '.join(missing)}: install flwr=={FLOWER} again")
    for name, step in steps.items():
        setattr(program, name, step)


def main(argv: Sequence[str]) -> None:
    """Carry one message."""
    parser = argparse.ArgumentParser(prog="flwr-clientapp", allow_abbrev=False)
    parser.add_argument("socket")
    parser.add_argument("--runtime-api-address", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--root-certificates", type=Path, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    arguments = parser.parse_args(argv)
    program = importlib.import_module(_PROGRAM)
    replace_steps(program, Courier(arguments.socket))
    program.run_clientapp(
        runtime_api_address=arguments.runtime_api_address,
        token=arguments.token,
        insecure=False,
        certificates=arguments.root_certificates.read_bytes(),
        parent_pid=arguments.parent_pid,
        runtime_dependency_install=False,
    )


def _install_nothing(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("a hospital fetches no code")


if __name__ == "__main__":
    main(sys.argv[1:])
