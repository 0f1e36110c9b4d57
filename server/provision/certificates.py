"""X.509 certificates (RFC 5280) of the federation: authority, server, clients, and the revocation list."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CLOCKS_DIFFER_BY = timedelta(hours=1)
_CA_HASH = hashes.SHA384()


@dataclass(frozen=True)
class Authority:
    """The federation's certificate authority.

    Attributes:
        certificate: Self-signed.
        key: EC P-384; left out of ``repr``.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        """Say which, not the key."""
        return f"Authority({self.certificate.subject.rfc4514_string()})"


def now() -> datetime:
    """Return the present time in UTC, in whole seconds as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)


def make_authority(federation: str, days: int) -> Authority:
    """Make an authority that may sign certificates of servers and clients, and no further authority.

    Args:
        federation: Its name.
        days: How long it is valid.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(federation, "certificate authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(name, name, key.public_key(), now() + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return Authority(builder.sign(key, _CA_HASH), key)


def make_server_certificate(
    authority: Authority, federation: str, names: Iterable[str], days: int
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make the server's TLS certificate and its EC P-256 key.

    Args:
        authority: Who signs; the certificate does not outlive it.
        federation: Its name.
        names: Host names and IP addresses under which the server may be reached.
        days: How long it is valid.
    """
    return _make_leaf(
        authority,
        _name(federation, "server"),
        x509.SubjectAlternativeName([_general_name(name) for name in names]),
        ExtendedKeyUsageOID.SERVER_AUTH,
        days,
    )


def make_client_certificate(
    authority: Authority, federation: str, site: str, days: int
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make a site's TLS client certificate and its EC P-256 key.

    Args:
        authority: Who signs; the certificate does not outlive it.
        federation: Its name.
        site: The site's name: the subject's common name, and in the URI ``urn:hqgnet:FEDERATION:SITE``.
        days: How long it is valid.
    """
    return _make_leaf(
        authority,
        _name(federation, site),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:hqgnet:{federation}:{site}")]),
        ExtendedKeyUsageOID.CLIENT_AUTH,
        days,
    )


def make_revocation_list(
    authority: Authority, revoked: Mapping[int, datetime], number: int
) -> x509.CertificateRevocationList:
    """Make the list of revoked certificates.

    It is valid as long as the authority: a proxy would turn away every hospital on the day that it expires.

    Args:
        authority: Who signs.
        revoked: Serial number of each revoked certificate, and since when.
        number: The list's own number, growing with each (RFC 5280, section 5.2.3).
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now())
        .next_update(authority.certificate.not_valid_after_utc)
        .add_extension(_issued_by(authority), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, since in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, _CA_HASH)


def names_in(certificate: x509.Certificate) -> set[str]:
    """Return the host names and IP addresses that a certificate is for."""
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in alternatives}


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM text (PKCS 8, not encrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 fingerprint as ``openssl x509 -fingerprint -sha256`` shows it: ``AB:CD:...``."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _make_leaf(
    authority: Authority,
    subject: x509.Name,
    alternatives: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    days: int,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now() + timedelta(days=days), authority.certificate.not_valid_after_utc)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, authority.certificate.subject, key.public_key(), end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(_issued_by(authority), critical=False)
    )
    return builder.sign(authority.key, _CA_HASH), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - _CLOCKS_DIFFER_BY)
        .not_valid_after(end)
    )


def _name(federation: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issued_by(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
