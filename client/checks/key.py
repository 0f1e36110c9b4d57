"""The site's private key: Flower takes it, only its owner can read it, and it is this site's."""

from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.checks.finding import Finding
from hqgnet.data.site_server import ServerConnection

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_RENEW = "Ask the coordinator for a new kit (hqgnet-server renew federation.yaml SITE)"


def check_key(connection: ServerConnection, site: str) -> list[Finding]:
    """Read the key as ``flower-supernode`` does, and name its public half's fingerprint.

    Args:
        connection: Names the file.
        site: The site's name, which has to be the one that the key was given to.
    """
    title, file = "site key", connection.key
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        data = file.read_bytes()
    except OSError as error:
        what = f"{file} cannot be read ({error.strerror or error})"
        return [_problem(title, what, "Correct server.key, or let the user that runs this own the file")]
    findings = []
    if mode & _OPEN_TO_OTHERS:
        what = f"others may read {file} (mode {mode:04o}): whoever copies it can pose as this hospital"
        findings.append(
            _problem("key file", what, f"chmod 600 {file}; if it was open for long, have it renewed")
        )
    try:
        key = serialization.load_ssh_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = f"{file} is no OpenSSH private key without passphrase, which is what Flower reads"
        return [*findings, _problem(title, what, _RENEW)]
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return [*findings, _problem(title, f"{file} is not an elliptic-curve (ECDSA) key", _RENEW)]
    curve, public = key.curve, key.public_key()
    detail = f"{curve.key_size} {ssh_fingerprint(public)} (ECDSA)"
    if not isinstance(curve, ec.SECP384R1):
        what = f"{detail}: its curve is {curve.name}, kits have secp384r1"
        return [*findings, Finding("Certificates and key", title, "warning", what, _RENEW)]
    findings.append(Finding("Certificates and key", title, "ok", detail))
    given_to = _given_to(file.with_suffix(".pub"), public)
    if given_to not in (None, site):
        what = f"this site is called {site}, but its key was given to {given_to}: the server leaves it out"
        findings.append(_problem("name", what, f"Write name: {given_to}, or take this site's own key"))
    return findings


def _given_to(file: Path, key: ec.EllipticCurvePublicKey) -> str | None:
    """Return the site that the public key in the kit, if it is this one, names: ``SITE@FEDERATION``."""
    formats = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    try:
        *given, comment = file.read_bytes().split()
    except (OSError, ValueError):
        return None
    site, at, _ = comment.decode("utf-8", "replace").partition("@")
    return site if at and given == key.public_bytes(*formats).split() else None


def ssh_fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return ``SHA256:...`` as ``ssh-keygen -lf`` prints it."""
    formats = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    digest = hashlib.sha256(base64.b64decode(key.public_bytes(*formats).split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _problem(title: str, what: str, remedy: str) -> Finding:
    return Finding("Certificates and key", title, "problem", what, remedy)
