"""The certificates, judged by others: cryptography's verifier, openssl, and a TLS handshake."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import ClientVerifier, PolicyBuilder, Store, VerificationError

from server.federation import Federation
from server.provision.certificates import (
    make_authority,
    make_client_certificate,
    make_server_certificate,
    now,
)
from server.provision.kit import KitOptions
from server.provision.provision import provision, revoke


@pytest.fixture
def federation(make_federation: Callable[..., Federation], tmp_path: Path) -> Federation:
    made = make_federation(extra="client_certificates: true")
    provision(made, KitOptions(tmp_path / "kits"))
    return made


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verifier(authority: x509.Certificate, at: datetime | None = None) -> PolicyBuilder:
    builder = PolicyBuilder().store(Store([authority]))
    return builder.time(at) if at else builder


def test_the_chain_holds_for_every_name_of_the_server(federation: Federation) -> None:
    authority, server = certificate(federation.ca_certificate), certificate(federation.server_certificate)
    names = ("federation.example.org", "localhost", "10.0.0.5", "127.0.0.1", "::1")
    for name in names:
        try:
            subject: x509.DNSName | x509.IPAddress = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            subject = x509.DNSName(name)
        chain = verifier(authority).build_server_verifier(subject).verify(server, [])
        assert chain == [server, authority]
    with pytest.raises(VerificationError):
        verifier(authority).build_server_verifier(x509.DNSName("elsewhere.example.org")).verify(server, [])


def test_a_foreign_authority_of_the_same_name_is_refused(federation: Federation) -> None:
    server = certificate(federation.server_certificate)
    foreign = make_authority("retina", 10).certificate
    assert foreign.subject == certificate(federation.ca_certificate).subject
    with pytest.raises(VerificationError):
        verifier(foreign).build_server_verifier(x509.DNSName("localhost")).verify(server, [])


def test_the_authority_signs_no_further_authority(federation: Federation) -> None:
    extensions = certificate(federation.ca_certificate).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign
    assert not usage.value.digital_signature
    key = certificate(federation.ca_certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)


def test_a_client_certificate_is_for_clients_only(federation: Federation, tmp_path: Path) -> None:
    authority = certificate(federation.ca_certificate)
    client = certificate(tmp_path / "kits" / "site-1" / "keys" / "client.pem")
    checker: ClientVerifier = verifier(authority).build_client_verifier()
    verified = checker.verify(client, [])
    assert verified.subjects == [x509.UniformResourceIdentifier("urn:hqgnet:retina:site-1")]
    with pytest.raises(VerificationError):
        checker.verify(certificate(federation.server_certificate), [])


def test_lifetimes_are_as_asked_and_end_with_the_authority() -> None:
    authority = make_authority("retina", 20)
    assert (
        now() + timedelta(days=19) < authority.certificate.not_valid_after_utc <= now() + timedelta(days=20)
    )
    server, _ = make_server_certificate(authority, "retina", ["localhost"], 5)
    client, _ = make_client_certificate(authority, "retina", "site-1", 365)
    assert server.not_valid_after_utc - now() <= timedelta(days=5)
    assert client.not_valid_after_utc == authority.certificate.not_valid_after_utc
    early, late = now() - timedelta(minutes=30), now() + timedelta(days=6)
    subject = x509.DNSName("localhost")
    verifier(authority.certificate, early).build_server_verifier(subject).verify(server, [])
    with pytest.raises(VerificationError):
        verifier(authority.certificate, late).build_server_verifier(subject).verify(server, [])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees(federation: Federation, tmp_path: Path) -> None:
    def verify(purpose: str, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, *more]
        command += ["-CAfile", str(federation.ca_certificate), str(file)]
        return subprocess.run(command, capture_output=True, text=True)

    client = tmp_path / "kits" / "site-1" / "keys" / "client.pem"
    assert verify("sslserver", federation.server_certificate).returncode == 0
    assert verify("sslclient", client).returncode == 0
    assert verify("sslclient", federation.server_certificate).returncode != 0

    listed = ("-crl_check", "-CRLfile", str(federation.revocation_list))
    assert verify("sslclient", client, *listed).returncode == 0
    revoke(federation, "site-1")
    refused = verify("sslclient", client, *listed)
    assert refused.returncode != 0 and "revoked" in refused.stderr
    other = tmp_path / "kits" / "site-2" / "keys" / "client.pem"
    assert verify("sslclient", other, *listed).returncode == 0


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Shake hands over loopback; raise what the client sees."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    with server.wrap_socket(connection, server_side=True) as secure:
                        secure.sendall(b"ok")
                except OSError:
                    pass  # the client tells of it

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as plain,
                client.wrap_socket(plain, server_hostname=name) as secure,
            ):
                assert secure.recv(2) == b"ok"
        finally:
            thread.join(5)


def test_a_tls_handshake_succeeds_with_the_authority_only(federation: Federation, tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(federation.server_certificate, federation.server_key)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "kits" / "site-2" / "keys" / "ca.pem"))
    for name in ("localhost", "127.0.0.1", "federation.example.org"):
        handshake(server, trusting, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, trusting, "elsewhere.example.org")
    foreign = ssl.create_default_context(
        cadata=make_authority("retina", 10).certificate.public_bytes(Encoding.PEM).decode()
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, foreign, "localhost")


def test_a_proxy_that_asks_for_client_certificates_turns_revoked_ones_away(
    federation: Federation, tmp_path: Path
) -> None:
    def connect(site: str | None) -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(federation.server_certificate, federation.server_key)
        server.verify_mode = ssl.CERT_REQUIRED
        server.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        server.load_verify_locations(federation.ca_certificate)
        server.load_verify_locations(federation.revocation_list)
        client = ssl.create_default_context(cafile=str(federation.ca_certificate))
        if site is not None:
            keys = tmp_path / "kits" / site / "keys"
            client.load_cert_chain(keys / "client.pem", keys / "client.key")
        handshake(server, client, "localhost")

    connect("site-1")
    with pytest.raises(OSError):
        connect(None)
    revoke(federation, "site-1")
    with pytest.raises(OSError):
        connect("site-1")
    connect("site-2")


def test_the_revocation_list_grows_and_outlives_every_certificate(federation: Federation) -> None:
    def load() -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl(federation.revocation_list.read_bytes())

    def number() -> int:
        return load().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    authority = certificate(federation.ca_certificate)
    before = number()
    assert len(list(load())) == 0
    revoke(federation, "site-1")
    revoke(federation, "site-2")
    assert number() == before + 2
    assert len(list(load())) == 2
    assert load().is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    assert load().next_update_utc == authority.not_valid_after_utc > datetime.now(UTC)
