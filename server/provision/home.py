"""What the server itself holds under ``home``: authority, TLS certificate, secret, revocation list."""

from __future__ import annotations

import secrets

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import write_atomically
from server.federation import Federation
from server.provision.certificates import (
    Authority,
    certificate_pem,
    key_pem,
    make_authority,
    make_revocation_list,
    make_server_certificate,
    now,
)
from server.provision.folders import PRIVATE, Content, place_folder, read
from server.provision.site_index import SiteIndex

_SECRET_BYTES = 32


def load_authority(federation: Federation) -> Authority:
    """Read the authority's certificate and key.

    Raises:
        ConfigurationError: If one is missing, they do not fit, or the certificate has expired.
    """
    if not federation.ca_key.parent.exists():
        what = "is missing"
        remedy = "Run `hqgnet-server provision` first; if it was there before, restore it from a backup"
        raise ConfigurationError(Problem(str(federation.ca_key.parent), what, remedy))
    certificate = load_certificate(federation, "ca")
    key = _load_key(federation, "ca")
    where = str(federation.ca_certificate)
    if certificate.public_key() != key.public_key():
        raise ConfigurationError(Problem(where, "does not belong to ca.key", "Restore both from one backup"))
    if certificate.not_valid_after_utc <= now():
        what = f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
        remedy = "Provision anew with another home, and give every site its new kit"
        raise ConfigurationError(Problem(where, what, remedy))
    return Authority(certificate, key)


def ensure_authority(federation: Federation, index: SiteIndex) -> tuple[Authority, bool]:
    """Return the authority, made if there was none; and whether it is new.

    Raises:
        ConfigurationError: If it is damaged, or gone while what it signed is there.
        OutputError: If the disk refuses.
    """
    folder = federation.ca_key.parent
    if folder.exists():
        return load_authority(federation), False
    if index.keys or federation.server_certificate.exists():
        what = "is missing, though certificates and kits were made with it"
        remedy = "Restore it from a backup, or provision anew with another home"
        raise ConfigurationError(Problem(str(folder), what, remedy))
    made = make_authority(federation.name, federation.certificates.ca_days)
    files = {
        federation.ca_certificate.name: Content(certificate_pem(made.certificate)),
        federation.ca_key.name: Content(key_pem(made.key), private=True),
    }
    place_folder(folder, files)
    return made, True


def ensure_server_certificate(federation: Federation, authority: Authority) -> tuple[x509.Certificate, bool]:
    """Return the server's certificate, made if there was none; and whether it is new.

    Raises:
        ConfigurationError: If it is damaged or another authority's.
        OutputError: If the disk refuses.
    """
    if not federation.server_certificate.parent.exists():
        return renew_server_certificate(federation, authority), True
    certificate = load_certificate(federation, "server")
    key = _load_key(federation, "server")
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        fits = certificate.public_key() == key.public_key()
    except (ValueError, TypeError, InvalidSignature):
        fits = False
    if not fits:
        what = "does not belong to server.key, or is not this authority's"
        remedy = "Run `hqgnet-server renew FEDERATION.yaml server`"
        raise ConfigurationError(Problem(str(federation.server_certificate), what, remedy))
    return certificate, False


def renew_server_certificate(federation: Federation, authority: Authority) -> x509.Certificate:
    """Make the server's certificate and key, in place of any that are there.

    Raises:
        OutputError: If the disk refuses.
    """
    certificate, key = make_server_certificate(
        authority,
        federation.name,
        federation.server.certificate_names,
        federation.certificates.server_days,
    )
    files = {
        federation.server_certificate.name: Content(certificate_pem(certificate)),
        federation.server_key.name: Content(key_pem(key), private=True),
    }
    place_folder(federation.server_certificate.parent, files)
    return certificate


def ensure_superexec_secret(federation: Federation) -> None:
    """Make the secret that SuperLink and SuperExec share, if it is missing.

    Raises:
        OutputError: If the disk refuses.
    """
    if not federation.superexec_secret.exists():
        write_atomically(federation.superexec_secret, secrets.token_bytes(_SECRET_BYTES), mode=PRIVATE)


def update_revocation_list(federation: Federation, authority: Authority, index: SiteIndex) -> None:
    """Write the list of revoked client certificates, unless the one that is there says the same.

    Does nothing in a federation without client certificates.

    Raises:
        OutputError: If the disk refuses.
    """
    if not federation.client_certificates:
        return
    revoked = {
        int(key.certificate_serial, 16): key.revoked
        for key in index.keys
        if key.certificate_serial is not None and key.revoked is not None
    }
    number = 1
    try:
        old = x509.load_pem_x509_crl(federation.revocation_list.read_bytes())
        if {entry.serial_number for entry in old} == set(revoked):
            return
        number = old.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
    except (OSError, ValueError, x509.ExtensionNotFound):
        pass  # missing or damaged: it is derived from the index, and made anew
    made = make_revocation_list(authority, revoked, number)
    write_atomically(federation.revocation_list, made.public_bytes(serialization.Encoding.PEM), mode=PRIVATE)


def load_certificate(federation: Federation, which: str) -> x509.Certificate:
    """Read the certificate of the authority (``"ca"``) or of the server (``"server"``).

    Raises:
        ConfigurationError: If it cannot be read or is none.
    """
    path = {"ca": federation.ca_certificate, "server": federation.server_certificate}[which]
    try:
        return x509.load_pem_x509_certificate(read(path))
    except ValueError as error:
        raise ConfigurationError(
            Problem(str(path), "is no certificate in PEM format", "Restore it from a backup")
        ) from error


def _load_key(federation: Federation, which: str) -> ec.EllipticCurvePrivateKey:
    path = {"ca": federation.ca_key, "server": federation.server_key}[which]
    try:
        key = serialization.load_pem_private_key(read(path), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        # No cause is attached: what the parser says of a key has no place in a log.
        what, remedy = "holds no private key of an elliptic curve in PEM format", "Restore it from a backup"
        raise ConfigurationError(Problem(str(path), what, remedy))
    return key
