"""nginx as a process of these tests: no root, on loopback, with the files of ``deploy/nginx``."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.deploy.authority import Authority, Issued

NOBODY = 65534
PUBLIC_NAME = "federation.example.org"


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Folder:
    """A folder that belongs to the user whom nginx runs as."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="door-"))

    def hand_over(self) -> None:
        """Give everything in it to nginx's user; does nothing unless these tests are root."""
        if os.getuid() == 0:
            for path in [self.path, *self.path.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path)


@dataclass(frozen=True)
class Answer:
    """What a caller saw."""

    status: int
    body: bytes
    headers: dict[str, str]


def lay_out(source: Path, target: Path, issued: Issued) -> None:
    """Copy ``deploy/nginx`` and put the server's certificate, key and authority beside it."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / "hqgnet/server.pem").write_bytes(issued.certificate)
    (target / "hqgnet/server.key").write_bytes(issued.key)
    (target / "hqgnet/server.key").chmod(0o600)
    (target / "hqgnet/ca.pem").write_bytes(issued.authority)


class Door:
    """A running nginx.

    Args:
        nginx: Executable.
        folder: Where its configuration lies.
        port: Where it listens.
        trusted: Authority that callers trust.
    """

    def __init__(self, nginx: str, folder: Folder, port: int, trusted: bytes) -> None:
        self.port = port
        self.folder = folder.path
        self._trusted = trusted
        folder.hand_over()
        command = [nginx, "-p", f"{folder.path}/", "-c", str(folder.path / "nginx.conf")]
        self._user = NOBODY if os.getuid() == 0 else None
        self._log = (folder.path / "stderr.txt").open("wb")
        self.checked = subprocess.run([*command, "-t"], capture_output=True, text=True, user=self._user)
        self._process = subprocess.Popen(
            command,
            stderr=self._log,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
        )

    @classmethod
    def fleet(
        cls,
        nginx: str,
        source: Path,
        folder: Folder,
        authority: Authority,
        superlink_port: int,
        revoked: tuple[int, ...] | None = None,
    ) -> Self:
        """Start the server's nginx; ``revoked`` given: it asks for client certificates."""
        port = free_port()
        issued = authority.issue("server", PUBLIC_NAME, "localhost", "127.0.0.1")
        lay_out(source, folder.path, issued)
        (folder.path / "hqgnet/listen.conf").write_text(f"listen 127.0.0.1:{port} ssl;\n")
        (folder.path / "hqgnet/access-log.conf").write_text("access_log access.log hqgnet;\n")
        (folder.path / "hqgnet/superlink.conf").write_text(f"server 127.0.0.1:{superlink_port};\n")
        if revoked is not None:
            shutil.copy(
                source / "client-certificates.required.conf", folder.path / "hqgnet/client-certificates.conf"
            )
            (folder.path / "hqgnet/crl.pem").write_bytes(authority.revocations(*revoked))
        return cls(nginx, folder, port, authority.certificate)

    @classmethod
    def hospital(
        cls,
        nginx: str,
        source: Path,
        folder: Folder,
        server: Door,
        authority: Authority,
        client: Issued,
        server_name: str = PUBLIC_NAME,
    ) -> Self:
        """Start a hospital's nginx, which shows ``client`` to ``server``."""
        port = free_port()
        local = Authority("this hospital's loopback")
        lay_out(source, folder.path, local.issue("localhost", "localhost", "127.0.0.1"))
        hqgnet = folder.path / "hqgnet"
        for suffix in ("pem", "key"):
            (hqgnet / f"server.{suffix}").rename(hqgnet / f"local.{suffix}")
        (hqgnet / "ca.pem").write_bytes(authority.certificate)
        (hqgnet / "client.pem").write_bytes(client.certificate)
        (hqgnet / "client.key").write_bytes(client.key)
        text = (source / "site-client-certificate.conf").read_text()
        for old, new in (
            (f"server {PUBLIC_NAME}:443;", f"server 127.0.0.1:{server.port};"),
            ("listen 127.0.0.1:9443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
            (f"set $hqgnet_server_name {PUBLIC_NAME};", f"set $hqgnet_server_name {server_name};"),
        ):
            assert old in text, f"site-client-certificate.conf has no line {old!r} to fill in"
            text = text.replace(old, new)
        (folder.path / "fleet.conf").write_text(text)
        return cls(nginx, folder, port, local.certificate)

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "stderr.txt").read_text()

    def context(self, client: Issued | None = None) -> ssl.SSLContext:
        """Return a caller's TLS settings: strict about the server, with a client certificate or without."""
        context = ssl.create_default_context(cadata=self._trusted.decode())
        if client is not None:
            pair = self.folder / "pair.pem"
            pair.write_bytes(client.key + client.certificate)
            context.load_cert_chain(pair)
            pair.unlink()
        return context

    def call(
        self, path: str, body: bytes = b"x", method: str = "POST", client: Issued | None = None
    ) -> Answer:
        """Send one request with the path exactly as given."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=self.context(client)
        )
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, answer.read(), headers)
        finally:
            connection.close()

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        self._end()
        raise AssertionError(f"nginx did not start: {self.checked.stderr}{self.log}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._log.close()
