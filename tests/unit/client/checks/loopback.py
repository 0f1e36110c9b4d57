"""An authority that signs what a test needs, and a TLS server on loopback that answers as it is told."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FLEET = "/v1/fleet/pull-messages"
CONTROL = "/v1/control/list-runs"
FLOWER = (415, "application/json", b'{"code":1002,"detail":"Unsupported Content-Type."}')
HIDDEN = (404, "text/plain", b"")


@dataclass
class Authority:
    """Signs certificates valid between two days counted from now."""

    name: str = "authority"
    first_day: int = -1
    last_day: int = 365
    is_authority: bool = True
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))

    def __post_init__(self) -> None:
        basic = x509.BasicConstraints(self.is_authority, 0 if self.is_authority else None)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = (
            _builder(self.name, self.name, self.key, self.first_day, self.last_day)
            .add_extension(basic, critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def write(self, file: Path) -> Path:
        file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return file

    def server(
        self, folder: Path, *, first_day: int = -1, last_day: int = 365, host: str = "127.0.0.1"
    ) -> tuple[Path, Path]:
        """Write a server's certificate and key; return both files."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        certificate = (
            _builder("server", self.name, key, first_day, last_day)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "server.key").write_bytes(private)
        return folder / "server.pem", folder / "server.key"


def write_site_key(file: Path, key: Any = None, *, mode: int = 0o600) -> Path:
    """Write a private key as OpenSSH does."""
    file.write_bytes(
        (key or ec.generate_private_key(ec.SECP384R1())).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    file.chmod(mode)
    return file


@contextmanager
def serving(
    files: tuple[Path, Path] | None,
    answers: Mapping[str, tuple[int, str, bytes]] | None = None,
    *,
    clock_s: float = 0.0,
    dated: bool = True,
    client_authority: Path | None = None,
) -> Iterator[int]:
    """Serve on loopback; give the port.

    Args:
        files: Certificate and key; None for a server without TLS.
        answers: Status, content type and body by path; anything else is hidden.
        clock_s: How far the server's clock is ahead of this one.
        dated: Whether the server says its time.
        client_authority: Whose client certificates are demanded.
    """
    given = {FLEET: FLOWER} if answers is None else answers

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, body = given.get(self.path, HIDDEN)
            self.send_response_only(status)
            if dated:
                self.send_header("Date", formatdate(time.time() + clock_s, usegmt=True))
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if files is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        if client_authority is not None:
            context.load_verify_locations(client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, first_day: int, last_day: int
) -> x509.CertificateBuilder:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(first_day))
        .not_valid_after(now + datetime.timedelta(last_day))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
