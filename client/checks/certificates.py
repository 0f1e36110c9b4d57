"""The certificates: the federation's authority as this hospital holds it, and what the server shows."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from client.checks.finding import Finding
from client.checks.probe import Probe
from hqgnet.data.site_server import ServerConnection

WARN_DAYS = 30
# OpenSSL's numbers (X509_V_ERR_*) for what can be wrong with a server's certificate.
_NOT_YET_VALID, _EXPIRED = 9, 10
_BAD_SIGNATURE, _SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER_HERE, _NO_ISSUER = 7, 18, 19, 20, 21
_OTHER_HOST, _OTHER_ADDRESS = 62, 64
_RENEW_SERVER = "hqgnet-server renew federation.yaml server"
_FOREIGN = (_BAD_SIGNATURE, _SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_ISSUER_HERE, _NO_ISSUER)


def check_authority(connection: ServerConnection) -> list[Finding]:
    """See that the authority's certificate is one, is an authority's, and is valid today."""
    title = "authority"
    try:
        certificates = x509.load_pem_x509_certificates(connection.ca.read_bytes())
    except OSError as error:
        what = f"{connection.ca} cannot be read ({error.strerror or error})"
        return [_problem(title, what, "Take ca.pem from the kit again, or correct server.ca")]
    except ValueError:
        what = f"{connection.ca} holds no certificate in PEM"
        return [_problem(title, what, "Take ca.pem from the kit again, or correct server.ca")]
    return [_authority(connection.ca, certificate) for certificate in certificates]


def check_server_certificate(connection: ServerConnection, probe: Probe) -> list[Finding]:
    """See that the server proves by the authority that it is the one of this name, today and for a while."""
    if probe.certificate is None and probe.tls_failure is None:
        what = "not seen: the server was not reached"
        return [Finding("Certificates and key", "server", "warning", what, "Mend the connection first")]
    if probe.tls_failure is not None and (probe.certificate is None or probe.tls_failure.code is None):
        what = f"no trusted connection: {probe.tls_failure.reason}"
        remedy = "Mend the authority's certificate, if it is named here; else see that a TLS server is there"
        return [_problem("server", what, remedy)]
    certificate = x509.load_der_x509_certificate(probe.certificate or b"")
    if probe.tls_failure is not None:
        return [_distrusted(connection, certificate, probe.tls_failure.code or 0, probe.tls_failure.reason)]
    detail = f"proved by the authority for {connection.host}, {_until(certificate)}"
    if _days_left(certificate) < WARN_DAYS:
        remedy = f"Tell the coordinator to renew it ({_RENEW_SERVER})"
        return [Finding("Certificates and key", "server", "warning", detail, remedy)]
    return [Finding("Certificates and key", "server", "ok", detail)]


def fingerprint(certificate: x509.Certificate) -> str:
    """Return SHA-256 as ``openssl x509 -noout -fingerprint -sha256`` prints it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _authority(file: Path, certificate: x509.Certificate) -> Finding:
    title, detail = "authority", f"{_until(certificate)}, SHA-256 {fingerprint(certificate)}"
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority and certificate.issuer != certificate.subject:
        what = f"{file} is {_subject(certificate)}'s own certificate, not an authority's"
        return _problem(title, what, "Let server.ca name the kit's ca.pem")
    if certificate.not_valid_before_utc > _now():
        what = f"valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
        return _problem(title, what, "Compare this machine's clock; else ask the coordinator for a new kit")
    if certificate.not_valid_after_utc < _now():
        return _problem(title, f"expired: {detail}", "Ask the coordinator for a new kit")
    if _days_left(certificate) < WARN_DAYS:
        remedy = "Ask the coordinator for a new kit before that day"
        return Finding("Certificates and key", title, "warning", detail, remedy)
    return Finding("Certificates and key", title, "ok", detail)


def _distrusted(
    connection: ServerConnection, certificate: x509.Certificate, code: int, reason: str
) -> Finding:
    shown = f"{_subject(certificate)}, {_until(certificate)}, SHA-256 {fingerprint(certificate)}"
    if code in _FOREIGN:
        what = (
            f"is not signed by the authority in {connection.ca}: this is another server, or somebody between "
            f"you and it ({reason}). It shows {shown}"
        )
        remedy = (
            "Do not go on. Compare the authority's fingerprint above, and this one, with the coordinator by "
            "telephone; if this network inspects TLS, ask for an exception"
        )
    elif code == _EXPIRED:
        what = f"expired ({reason}): {shown}"
        remedy = f"Compare this machine's clock; else tell the coordinator to renew it ({_RENEW_SERVER})"
    elif code == _NOT_YET_VALID:
        what = f"valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
        remedy = "Compare this machine's clock, which may be slow; else tell the coordinator"
    elif code in (_OTHER_HOST, _OTHER_ADDRESS):
        what = f"is for {_names(certificate)}, not for {connection.host}"
        remedy = "Write server.address as the kit has it, or ask for a certificate with this name"
    else:
        what = f"was refused ({reason}): {shown}"
        remedy = "Tell the coordinator"
    return _problem("server", what, remedy)


def _names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "no name"
    return ", ".join(
        [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    )


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"


def _until(certificate: x509.Certificate) -> str:
    days = _days_left(certificate)
    return f"valid until {certificate.not_valid_after_utc:%Y-%m-%d} ({days} days)"


def _days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - _now()).days


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _problem(title: str, what: str, remedy: str) -> Finding:
    return Finding("Certificates and key", title, "problem", what, remedy)
