"""Keys of one start of the node: nobody else on the machine can take the place of either of its ends."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from hqgnet.files import write_atomically

_HOST = "127.0.0.1"
_SECRET_BYTES = 32
_DAYS = 3650


@dataclass(frozen=True)
class Loopback:
    """Where the SuperNode's Runtime interface listens, and what proves both of its ends.

    Attributes:
        port: TCP port on 127.0.0.1.
        certificate: Of this start alone; both ends trust it and no other.
        key: Its private key.
        secret: Proves to the SuperNode that who asks for messages is the daemon's.
    """

    port: int
    certificate: Path
    key: Path
    secret: Path

    @property
    def address(self) -> str:
        """As host:port."""
        return f"{_HOST}:{self.port}"


def make_loopback(folder: Path) -> Loopback:
    """Return a free port, a new certificate and a new secret.

    Args:
        folder: Private to the daemon's user; what an earlier start left there is replaced.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    with socket.socket() as opened:
        opened.bind((_HOST, 0))
        port = int(opened.getsockname()[1])
    loopback = Loopback(port, folder / "runtime.pem", folder / "runtime.key", folder / "superexec.bin")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hqgnet-client")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is set right later must not make it invalid.
        .not_valid_before(now - datetime.timedelta(days=_DAYS))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_HOST))]), False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(loopback.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o600)
    write_atomically(loopback.key, private, mode=0o600)
    write_atomically(loopback.secret, secrets.token_bytes(_SECRET_BYTES), mode=0o600)
    return loopback
