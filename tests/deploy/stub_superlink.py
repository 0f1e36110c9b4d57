"""What stands behind nginx in these tests: answers every path over TLS and remembers what it was asked."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.deploy.authority import Issued

ANSWER = b"answer of the SuperLink"


@dataclass(frozen=True)
class Seen:
    """One request that arrived whole."""

    method: str
    path: str
    size: int
    sha256: str
    host: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: StubSuperLink

    def setup(self) -> None:
        super().setup()
        self.stub.connections.append(self.request)

    def do_POST(self) -> None:
        announced = int(self.headers.get("content-length", 0))
        body = self.rfile.read(announced)
        if len(body) < announced:
            # The caller broke off in the middle, perhaps in the test before this one: nothing was asked.
            self.close_connection = True
            return
        host = self.headers.get("host", "")
        seen = Seen(self.command, self.path, len(body), hashlib.sha256(body).hexdigest(), host)
        self.stub.seen.append(seen)
        self.send_response(self.stub.status)
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    do_GET = do_PUT = do_DELETE = do_OPTIONS = do_POST

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers that went away."""


class StubSuperLink:
    """An HTTPS server on loopback.

    Args:
        issued: Its certificate.
    """

    def __init__(self, issued: Issued) -> None:
        self.status = 200
        self.seen: list[Seen] = []
        self.connections: list[ssl.SSLSocket] = []
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.pem"
            pair.write_bytes(issued.key + issued.certificate)
            context.load_cert_chain(pair)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def forget(self) -> None:
        """Be as at the start."""
        self.status = 200
        self.seen.clear()

    def close(self) -> None:
        """End it as a killed process ends: connections break, and the port refuses."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
