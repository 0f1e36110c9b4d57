"""The key pair by which a SuperNode proves who it is: EC P-384, in OpenSSH's format as Flower reads it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hqgnet.errors import ConfigurationError, Problem
from server.provision.folders import read


@dataclass(frozen=True)
class KeyPair:
    """A site's key pair.

    Attributes:
        private: OpenSSH private key, not encrypted; left out of ``repr``.
        public: One line, as in ``NAME.pub``.
    """

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        """Say which, not the key."""
        return f"KeyPair({self.public!r})"


def make_key_pair(federation: str, site: str) -> KeyPair:
    """Make a new key pair.

    Args:
        federation: Stands in the public key's comment.
        site: Likewise.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return KeyPair(private, _line(key.public_key()) + f" {site}@{federation}\n".encode())


def fingerprint_of(public_key: Path) -> str:
    """Return the fingerprint of a public key as ``ssh-keygen -lf`` shows it: ``SHA256:...``.

    Raises:
        ConfigurationError: If the file cannot be read or holds no such key.
    """
    try:
        return fingerprint_in(read(public_key))
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "holds no public key in OpenSSH's format"
        raise ConfigurationError(
            Problem(str(public_key), what, "Restore it from a backup, or renew the site")
        ) from error


def fingerprint_in(line: bytes) -> str:
    """Return the fingerprint of a public key that is in memory.

    Raises:
        ValueError: If it is none in OpenSSH's format.
        UnsupportedAlgorithm: If it is of a kind that is not supported.
    """
    key = serialization.load_ssh_public_key(line)
    digest = serialization.ssh_key_fingerprint(key, hashes.SHA256())
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def belong_together(private_key: Path, public_key: Path) -> bool:
    """Return whether both files are there and hold the two halves of one pair."""
    try:
        private = serialization.load_ssh_private_key(private_key.read_bytes(), None)
        public = serialization.load_ssh_public_key(public_key.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(
        public, ec.EllipticCurvePublicKey
    ):
        return False
    return _line(private.public_key()) == _line(public)


def _line(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
